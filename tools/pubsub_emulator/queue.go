package main

import (
	"fmt"
	"strings"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"
)

// What Google's documentation says of a pull subscription, and this file does:
//
//   - Ordering (docs/ordering): messages of one ordering key are delivered in the order in which they were published.
//     Several may come in one answer; a later one is not delivered while an earlier answer's are outstanding. The
//     redelivery of a message is followed by that of all later ones of its key, also of those that are acknowledged.
//   - Exactly once (docs/exactly-once-delivery): what is acknowledged is not delivered again, what is outstanding neither.
//     Only the newest acknowledgement id of a message is good, and only until its deadline. With ordering,
//     acknowledgements have to be in order too. What is refused is named in the error, each by its reason.
//   - Deadlines: a message whose deadline is over is delivered again.
//   - Retry policies (docs/handling-failures): a message that was refused or expired is delivered again after the least
//     time of the policy, which doubles with each failure up to the most. The later ones of its key wait with it.
//   - Dead letters (docs/dead-letter-topics): a message that was refused or expired as often as the policy says is
//     published to the dead letter topic, with the attributes CloudPubSubDeadLetterSource...
//
// pstest has none of it but the deadlines: it delivers one message a key and pull, in no order across keys, takes every
// acknowledgement id without a word, and looks at each message each 10 ms, which a hundred thousand of them do not bear.
//
// Left out, and refused where it is wanted: streaming pulls, push, BigQuery and Cloud Storage subscriptions, filters,
// transforms, seeking, detaching. Left out without a word: retention and expiry, quotas, rights.

type message struct {
	published *pb.PubsubMessage
	ackID     string    // of its newest delivery, "" where none is valid
	deadline  time.Time // of that delivery
	failures  int32     // deliveries that were refused or whose deadline was over
	acked     bool      // and kept only because an earlier message of its key is not
}

func (m *message) outstanding() bool { return m.ackID != "" }

// A lane is the messages of one ordering key; a message without a key has a lane of its own.
type lane struct {
	messages []*message
	queued   bool      // whether it is among the queue's ready ones
	until    time.Time // until when a retry policy holds it back
}

func (l *lane) ready() bool {
	ready := false
	for _, each := range l.messages {
		if each.outstanding() {
			return false
		}
		ready = ready || !each.acked
	}
	return ready
}

// A queue is the messages of one subscription.
type queue struct {
	settings    *pb.Subscription
	lanes       map[string]*lane
	ready       []string            // the keys of lanes that can be delivered from, by when they became so
	outstanding map[string]*message // by acknowledgement id
	waiting     map[string]bool     // the keys of lanes that a retry policy holds back
	deliveries  int
}

func newQueue(settings *pb.Subscription) *queue {
	return &queue{
		settings: settings, lanes: map[string]*lane{}, outstanding: map[string]*message{}, waiting: map[string]bool{},
	}
}

func (q *queue) keyOf(published *pb.PubsubMessage) string {
	if q.settings.EnableMessageOrdering && published.OrderingKey != "" {
		return "key " + published.OrderingKey
	}
	return "id " + published.MessageId
}

func (q *queue) add(published *pb.PubsubMessage) {
	key := q.keyOf(published)
	if q.lanes[key] == nil {
		q.lanes[key] = &lane{}
	}
	q.lanes[key].messages = append(q.lanes[key].messages, &message{published: published})
	q.enqueue(key)
}

// enqueue notes that a lane can be delivered from, if so.
func (q *queue) enqueue(key string) {
	if lane := q.lanes[key]; lane != nil && !lane.queued && !q.waiting[key] && lane.ready() {
		lane.queued = true
		q.ready = append(q.ready, key)
	}
}

// pull delivers at most so many messages and bytes, and returns apart from them those that are dead letters now.
func (q *queue) pull(most, mostBytes int, now time.Time) (delivered []*pb.ReceivedMessage, dead []*message) {
	q.expire(now)
	q.wake(now)
	bytes := 0
	for len(q.ready) > 0 && len(delivered) < most && bytes < mostBytes {
		key := q.ready[0]
		q.ready = q.ready[1:]
		lane := q.lanes[key]
		lane.queued = false
		dead = append(dead, q.bury(key)...)
		for _, each := range lane.messages {
			if len(delivered) == most || bytes >= mostBytes {
				break
			}
			if !each.acked {
				delivered = append(delivered, q.deliver(each, now))
				bytes += proto.Size(each.published)
			}
		}
	}
	return delivered, dead
}

func (q *queue) deliver(each *message, now time.Time) *pb.ReceivedMessage {
	q.deliveries++
	each.ackID = fmt.Sprintf("%s:%d", each.published.MessageId, q.deliveries)
	each.deadline = now.Add(time.Duration(max(q.settings.AckDeadlineSeconds, 10)) * time.Second)
	q.outstanding[each.ackID] = each
	received := &pb.ReceivedMessage{AckId: each.ackID, Message: each.published}
	if q.settings.DeadLetterPolicy != nil {
		received.DeliveryAttempt = each.failures + 1
	}
	return received
}

// bury takes the messages out of a lane that have failed often enough.
func (q *queue) bury(key string) (dead []*message) {
	policy, lane := q.settings.DeadLetterPolicy, q.lanes[key]
	if policy == nil {
		return nil
	}
	most := policy.MaxDeliveryAttempts
	if most == 0 {
		most = 5
	}
	var kept []*message
	for _, each := range lane.messages {
		if !each.acked && each.failures >= most {
			dead = append(dead, each)
		} else {
			kept = append(kept, each)
		}
	}
	lane.messages = kept
	q.forget(key)
	return dead
}

// expire takes messages back whose deadline is over.
func (q *queue) expire(now time.Time) {
	var expired []*message
	for _, each := range q.outstanding {
		if now.After(each.deadline) {
			expired = append(expired, each)
		}
	}
	q.takeBack(expired, now)
}

// wake lets lanes be delivered from whose wait is over.
func (q *queue) wake(now time.Time) {
	for key := range q.waiting {
		if lane := q.lanes[key]; lane == nil || !now.Before(lane.until) {
			delete(q.waiting, key)
			q.enqueue(key)
		}
	}
}

// holdBack lets a lane wait as the retry policy says of a message that failed.
func (q *queue) holdBack(failed *message, now time.Time) {
	policy := q.settings.RetryPolicy
	if policy == nil {
		return
	}
	wait, most := 10*time.Second, 600*time.Second
	if policy.MinimumBackoff != nil {
		wait = policy.MinimumBackoff.AsDuration()
	}
	if policy.MaximumBackoff != nil {
		most = policy.MaximumBackoff.AsDuration()
	}
	for count := int32(1); count < failed.failures && wait < most; count++ {
		wait *= 2
	}
	key := q.keyOf(failed.published)
	if until := now.Add(min(wait, most)); until.After(q.lanes[key].until) {
		q.lanes[key].until = until
	}
	q.waiting[key] = true
}

// takeBack makes messages deliverable again that failed, and with each of them the later ones of its key.
func (q *queue) takeBack(failed []*message, now time.Time) {
	for _, each := range failed {
		each.failures++
		q.holdBack(each, now)
		if each.outstanding() { // not taken back with an earlier one
			q.takeBackFrom(each)
		}
	}
}

func (q *queue) takeBackFrom(failed *message) {
	key := q.keyOf(failed.published)
	later := false
	for _, each := range q.lanes[key].messages {
		later = later || each == failed
		if later {
			delete(q.outstanding, each.ackID)
			each.ackID = ""
			each.acked = each.acked && q.settings.EnableExactlyOnceDelivery
		}
	}
	q.enqueue(key)
}

// acknowledge takes messages as done and returns the reasons why of others it does not, by their ids.
func (q *queue) acknowledge(ids []string, now time.Time) map[string]string {
	q.expire(now)
	refused := map[string]string{}
	for _, id := range ids {
		each := q.outstanding[id]
		switch {
		case each == nil:
			refused[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
		case q.settings.EnableExactlyOnceDelivery && !q.isFirst(each):
			refused[id] = "TRANSIENT_FAILURE_UNORDERED_ACK_ID"
		default:
			delete(q.outstanding, id)
			each.ackID, each.acked = "", true
			key := q.keyOf(each.published)
			q.forget(key)
			q.enqueue(key)
		}
	}
	return q.told(refused)
}

// modify moves deadlines; 0 seconds refuse a message.
func (q *queue) modify(ids []string, seconds int32, now time.Time) map[string]string {
	q.expire(now)
	refused := map[string]string{}
	var back []*message
	for _, id := range ids {
		each := q.outstanding[id]
		if each == nil {
			refused[id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
		} else if seconds > 0 {
			each.deadline = now.Add(time.Duration(seconds) * time.Second)
		} else {
			back = append(back, each)
		}
	}
	q.takeBack(back, now)
	return q.told(refused)
}

// told is what a subscription says of refused ids: nothing where it is not exactly once.
func (q *queue) told(refused map[string]string) map[string]string {
	if !q.settings.EnableExactlyOnceDelivery {
		return nil
	}
	return refused
}

func (q *queue) isFirst(each *message) bool {
	for _, first := range q.lanes[q.keyOf(each.published)].messages {
		if !first.acked {
			return first == each
		}
	}
	return false
}

// forget drops what is acknowledged and follows nothing that is not.
func (q *queue) forget(key string) {
	lane := q.lanes[key]
	for len(lane.messages) > 0 && lane.messages[0].acked {
		lane.messages = lane.messages[1:]
	}
	if len(lane.messages) == 0 && !lane.queued {
		delete(q.lanes, key)
	}
}

func (q *queue) unacknowledged() int {
	count := 0
	for _, lane := range q.lanes {
		for _, each := range lane.messages {
			if !each.acked {
				count++
			}
		}
	}
	return count
}

// deadLetter is what is published to the dead letter topic.
func (q *queue) deadLetter(each *message) *pb.PubsubMessage {
	names := strings.Split(q.settings.Name, "/")
	attributes := map[string]string{
		"CloudPubSubDeadLetterSourceDeliveryCount":       fmt.Sprint(each.failures),
		"CloudPubSubDeadLetterSourceSubscription":        names[len(names)-1],
		"CloudPubSubDeadLetterSourceSubscriptionProject": names[1],
		"CloudPubSubDeadLetterSourceTopicPublishTime":    each.published.PublishTime.AsTime().Format(time.RFC3339Nano),
	}
	for name, value := range each.published.Attributes {
		attributes[name] = value
	}
	return &pb.PubsubMessage{
		Data: each.published.Data, Attributes: attributes, OrderingKey: each.published.OrderingKey,
	}
}
