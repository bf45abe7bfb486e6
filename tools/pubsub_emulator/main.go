// The Pub/Sub emulator of the tests: topics and subscriptions of Google's pstest, and a delivery of messages that
// follows the documented rules of the service (queue.go says which, and what is left out).
//
// It listens on a free port of 127.0.0.1 and prints the address as its first line. After that it takes commands on
// standard input, one a line, and answers each with one line, "ok", a number, or "error: ...":
//
//	advance SECONDS                let time pass for acknowledgement deadlines
//	hold MILLISECONDS              how long a pull waits where there is nothing
//	unacknowledged SUBSCRIPTION    how many messages a subscription has
//	fail METHOD CODE COUNT         answer the next calls of a method with a code, such as "fail Publish UNAVAILABLE 2"
//	lose METHOD COUNT              do the next calls of a method, and answer UNAVAILABLE
//
// It ends with its standard input, so never later than the program that started it.
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Bytes of one call: a pull answers with up to 10 MB of messages.
const mostBytes = 32 << 20

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	emulated := newService()
	faults := &faults{byMethod: map[string][]fault{}}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(faults.intercept), grpc.MaxRecvMsgSize(mostBytes), grpc.MaxSendMsgSize(mostBytes),
	)
	pb.RegisterPublisherServer(server, emulated)
	pb.RegisterSubscriberServer(server, emulated)
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}()
	fmt.Println(listener.Addr())
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := obey(emulated, faults, strings.Fields(lines.Text()))
		if err != nil {
			answer = "error: " + err.Error()
		}
		fmt.Println(answer)
	}
}

func obey(emulated *service, faults *faults, words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("an empty line")
	}
	command, words := words[0], words[1:]
	switch {
	case command == "unacknowledged" && len(words) == 1:
		count, err := emulated.unacknowledged(words[0])
		return strconv.Itoa(count), err
	case command == "fail" && len(words) == 3:
		var code codes.Code
		if err := code.UnmarshalJSON([]byte(strconv.Quote(words[1]))); err != nil {
			return "", err
		}
		count, err := strconv.Atoi(words[2])
		faults.add(words[0], fault{code: code}, count)
		return "ok", err
	case command == "lose" && len(words) == 2:
		count, err := strconv.Atoi(words[1])
		faults.add(words[0], fault{code: codes.Unavailable, done: true}, count)
		return "ok", err
	case command == "advance" && len(words) == 1:
		seconds, err := strconv.ParseFloat(words[0], 64)
		emulated.advance(time.Duration(seconds * float64(time.Second)))
		return "ok", err
	case command == "hold" && len(words) == 1:
		milliseconds, err := strconv.Atoi(words[0])
		emulated.setHold(time.Duration(milliseconds) * time.Millisecond)
		return "ok", err
	}
	return "", fmt.Errorf("no such command: %s %s", command, strings.Join(words, " "))
}

// A fault is the answer to a call in place of its own; where it is done, the call takes effect nevertheless.
type fault struct {
	code codes.Code
	done bool
}

type faults struct {
	mutex    sync.Mutex
	byMethod map[string][]fault
}

func (f *faults) add(method string, each fault, count int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for range count {
		f.byMethod[method] = append(f.byMethod[method], each)
	}
}

func (f *faults) next(method string) (fault, bool) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	waiting := f.byMethod[method]
	if len(waiting) == 0 {
		return fault{}, false
	}
	f.byMethod[method] = waiting[1:]
	return waiting[0], true
}

func (f *faults) intercept(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	next, found := f.next(path.Base(info.FullMethod))
	if !found {
		return handler(ctx, request)
	}
	if next.done {
		if _, err := handler(ctx, request); err != nil {
			return nil, err
		}
	}
	return nil, status.Error(next.code, "a fault that the test wants")
}
