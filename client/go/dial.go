package antomagent

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"time"
)

const queuePause = 5 * time.Millisecond // between tries to enter a listener's queue

// pathFault tells what is wrong with a socket's path.
func pathFault(path string) error {
	if len(path) > 107 {
		return badParam("path", "a socket's path has at most 107 bytes")
	}
	if strings.HasPrefix(path, "@") {
		return badParam("path", "is a path; anybody could listen on an abstract name")
	}
	return nil
}

// dialUnix errors: TIMEOUT, UNREACHABLE.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", path)
		var timeout net.Error
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, ended(ctx)
		case errors.Is(err, syscall.EAGAIN):
			// The listener's queue is full. The kernel lets only a blocking connect wait for a place in it.
			if !sleep(ctx, queuePause) {
				return nil, ended(ctx)
			}
		case errors.As(err, &timeout) && timeout.Timeout():
			return nil, late()
		default:
			return nil, unreachable(path, err)
		}
	}
}

// sleep tells whether the time passed before the context was done.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hello says who this is, and takes the agent's limits. To be called before anything else.
func (l *link) hello(ctx context.Context, name string) error {
	result, err := l.send(ctx, "hello", map[string]interface{}{"versions": []int64{1}, "client": name}, 0)
	if err != nil {
		return err
	}
	told, ok := result.(map[string]interface{})
	if !ok {
		return badAnswer("hello with no map")
	}
	limits, _ := told["limits"].(map[string]interface{})
	requests, bytes := int64(requestsMax), int64(bytesMax)
	if n, ok := limits["requests_per_connection"].(int64); ok {
		requests = n
	}
	if n, ok := limits["bytes_per_connection"].(int64); ok {
		bytes = n
	}
	if n, ok := limits["frame"].(int64); ok {
		l.max.Store(n)
	}
	l.room.limit(requests, bytes)
	return nil
}
