package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Limits of the service (pubsub/quotas#resource_limits).
const (
	mostMessages       = 1000 // of a publish request, or of one pull
	mostPublishBytes   = 10_000_000
	mostKeyBytes       = 1024
	mostAttributes     = 100
	mostAttributeBytes = 1024
	mostAckBytes       = 512 * 1024
)

// service is pstest's for topics and for what subscriptions are, and this program's for the messages.
type service struct {
	*pstest.GServer
	mutex  sync.Mutex
	queues map[string]*queue
	nextID int
	ahead  time.Duration
	hold   time.Duration
	news   chan struct{} // closed when something may have become deliverable
}

func newService() *service {
	return &service{
		GServer: &pstest.NewServer().GServer,
		queues:  map[string]*queue{},
		hold:    20 * time.Millisecond,
		news:    make(chan struct{}),
	}
}

func (s *service) now() time.Time { return time.Now().Add(s.ahead) }

func (s *service) tell() {
	close(s.news)
	s.news = make(chan struct{})
}

func (s *service) advance(by time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.ahead += by
	s.tell()
}

func (s *service) setHold(hold time.Duration) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.hold = hold
}

func (s *service) unacknowledged(name string) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if q := s.queues[name]; q != nil {
		return q.unacknowledged(), nil
	}
	return 0, fmt.Errorf("no subscription %s", name)
}

func (s *service) queueOf(name string) (*queue, error) {
	if q := s.queues[name]; q != nil {
		return q, nil
	}
	return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s).", name)
}

func (s *service) CreateSubscription(ctx context.Context, wanted *pb.Subscription) (*pb.Subscription, error) {
	if wanted.PushConfig.GetPushEndpoint() != "" || wanted.BigqueryConfig != nil || wanted.CloudStorageConfig != nil ||
		wanted.Filter != "" || wanted.MessageTransforms != nil {
		return nil, status.Error(codes.Unimplemented, "this emulator has pull subscriptions without filter and transforms")
	}
	if policy := wanted.DeadLetterPolicy; policy != nil && policy.MaxDeliveryAttempts != 0 &&
		(policy.MaxDeliveryAttempts < 5 || policy.MaxDeliveryAttempts > 100) {
		return nil, status.Error(codes.InvalidArgument, "max_delivery_attempts has to be from 5 to 100")
	}
	created, err := s.GServer.CreateSubscription(ctx, wanted)
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.queues[created.Name] = newQueue(proto.Clone(created).(*pb.Subscription))
	return created, nil
}

func (s *service) UpdateSubscription(context.Context, *pb.UpdateSubscriptionRequest) (*pb.Subscription, error) {
	return nil, status.Error(codes.Unimplemented, "this emulator changes no subscription: delete it and create another")
}

func (s *service) DeleteSubscription(ctx context.Context, request *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	done, err := s.GServer.DeleteSubscription(ctx, request)
	if err == nil {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		delete(s.queues, request.Subscription)
	}
	return done, err
}

func (s *service) StreamingPull(pb.Subscriber_StreamingPullServer) error {
	return status.Error(codes.Unimplemented, "this emulator has no streaming pull")
}

func (s *service) Seek(context.Context, *pb.SeekRequest) (*pb.SeekResponse, error) {
	return nil, status.Error(codes.Unimplemented, "this emulator does not seek")
}

func (s *service) DetachSubscription(context.Context, *pb.DetachSubscriptionRequest) (*pb.DetachSubscriptionResponse, error) {
	return nil, status.Error(codes.Unimplemented, "this emulator detaches no subscription")
}

func (s *service) Publish(ctx context.Context, request *pb.PublishRequest) (*pb.PublishResponse, error) {
	if _, err := s.GServer.GetTopic(ctx, &pb.GetTopicRequest{Topic: request.Topic}); err != nil {
		return nil, status.Errorf(codes.NotFound, "Resource not found (resource=%s).", request.Topic)
	}
	if err := checkPublish(request); err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return &pb.PublishResponse{MessageIds: s.publish(request.Topic, request.Messages)}, nil
}

func checkPublish(request *pb.PublishRequest) error {
	refuse := func(format string, values ...any) error {
		return status.Errorf(codes.InvalidArgument, format, values...)
	}
	if len(request.Messages) == 0 || len(request.Messages) > mostMessages {
		return refuse("a request has 1 to %d messages, not %d", mostMessages, len(request.Messages))
	}
	if proto.Size(request) > mostPublishBytes {
		return refuse("a request has at most %d bytes", mostPublishBytes)
	}
	for _, each := range request.Messages {
		if len(each.Data) == 0 && len(each.Attributes) == 0 {
			return refuse("a message has data or an attribute")
		}
		if each.OrderingKey != request.Messages[0].OrderingKey {
			return refuse("all messages of a request have the same ordering key")
		}
		if len(each.OrderingKey) > mostKeyBytes || len(each.Attributes) > mostAttributes {
			return refuse("an ordering key has at most %d bytes, a message at most %d attributes", mostKeyBytes, mostAttributes)
		}
		for name, value := range each.Attributes {
			if name == "" || len(name) > 256 || len(value) > mostAttributeBytes {
				return refuse("an attribute's name has 1 to 256 bytes, its value at most %d", mostAttributeBytes)
			}
		}
	}
	return nil
}

// publish needs the lock.
func (s *service) publish(topic string, messages []*pb.PubsubMessage) (ids []string) {
	for _, each := range messages {
		s.nextID++
		each.MessageId = fmt.Sprint(s.nextID)
		each.PublishTime = timestamppb.New(s.now())
		for _, q := range s.queues {
			if q.settings.Topic == topic {
				q.add(each)
			}
		}
		ids = append(ids, each.MessageId)
	}
	s.tell()
	return ids
}

func (s *service) Pull(ctx context.Context, request *pb.PullRequest) (*pb.PullResponse, error) {
	if request.MaxMessages <= 0 {
		return nil, status.Error(codes.InvalidArgument, "max_messages has to be positive")
	}
	s.mutex.Lock()
	end := time.After(s.hold)
	s.mutex.Unlock()
	for {
		s.mutex.Lock()
		q, err := s.queueOf(request.Subscription)
		if err != nil {
			s.mutex.Unlock()
			return nil, err
		}
		delivered, dead := q.pull(min(int(request.MaxMessages), mostMessages), mostPublishBytes, s.now())
		for _, each := range dead {
			s.publish(q.settings.DeadLetterPolicy.DeadLetterTopic, []*pb.PubsubMessage{q.deadLetter(each)})
		}
		news := s.news
		s.mutex.Unlock()
		if len(delivered) > 0 || request.ReturnImmediately {
			return &pb.PullResponse{ReceivedMessages: delivered}, nil
		}
		select {
		case <-news:
		case <-end:
			return &pb.PullResponse{}, nil
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}

func (s *service) Acknowledge(_ context.Context, request *pb.AcknowledgeRequest) (*emptypb.Empty, error) {
	return s.settle(request, request.Subscription, func(q *queue) map[string]string {
		return q.acknowledge(request.AckIds, s.now())
	})
}

func (s *service) ModifyAckDeadline(_ context.Context, request *pb.ModifyAckDeadlineRequest) (*emptypb.Empty, error) {
	return s.settle(request, request.Subscription, func(q *queue) map[string]string {
		return q.modify(request.AckIds, request.AckDeadlineSeconds, s.now())
	})
}

func (s *service) settle(request proto.Message, name string, do func(*queue) map[string]string) (*emptypb.Empty, error) {
	if proto.Size(request) > mostAckBytes {
		return nil, status.Errorf(codes.InvalidArgument, "a request has at most %d bytes", mostAckBytes)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	q, err := s.queueOf(name)
	if err != nil {
		return nil, err
	}
	refused := do(q)
	s.tell()
	if len(refused) == 0 {
		return &emptypb.Empty{}, nil
	}
	answer, err := status.New(codes.InvalidArgument, "Some acknowledgement ids in the request were invalid. This could be "+
		"because the acknowledgement ids have expired or the acknowledgement ids were malformed.",
	).WithDetails(&errdetails.ErrorInfo{
		Reason: "EXACTLY_ONCE_ACKID_FAILURE", Domain: "pubsub.googleapis.com", Metadata: refused,
	})
	if err != nil {
		return nil, err
	}
	return nil, answer.Err()
}
