package antomagent

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waits begins an enter and returns when it stands in the queue.
func waits(r *room, ctx context.Context, gone chan struct{}, bytes int64) chan bool {
	r.mu.Lock()
	before := r.queue.Len()
	r.mu.Unlock()
	got := make(chan bool, 1)
	go func() { got <- r.enter(ctx, gone, bytes) }()
	for {
		r.mu.Lock()
		now := r.queue.Len()
		r.mu.Unlock()
		if now > before {
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

func still(t *testing.T, got chan bool) {
	t.Helper()
	select {
	case <-got:
		t.Fatal("it did not wait")
	default:
	}
}

func TestRoomIsGivenInTurn(t *testing.T) {
	var r room
	ctx, never := context.Background(), make(chan struct{})
	r.limit(3, 100)
	for i := 0; i < 2; i++ {
		if !r.enter(ctx, never, 40) {
			t.Fatal("no room")
		}
	}
	large := waits(&r, ctx, never, 80)
	small := waits(&r, ctx, never, 10) // would fit, but came later
	still(t, small)
	r.leave(40)
	still(t, large)
	r.leave(40)
	if !<-large || !<-small {
		t.Fatal("no room")
	}
	r.leave(80)
	r.leave(10)
	if r.requests != 0 || r.bytes != 0 {
		t.Fatalf("%d requests, %d bytes are left", r.requests, r.bytes)
	}
}

func TestOneRequestAlwaysFits(t *testing.T) {
	var r room
	for _, limit := range []int64{-1, 0, 1} {
		r.limit(limit, limit)
		if !r.enter(within(t, time.Second), nil, 1000) {
			t.Fatalf("not with %d", limit)
		}
		r.leave(1000)
	}
}

func TestWhoeverGivesUpLetsOthersPass(t *testing.T) {
	var r room
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	r.limit(3, 100)
	r.enter(ctx, gone, 40)
	large := waits(&r, ctx, gone, 80)
	small := waits(&r, context.Background(), gone, 10)
	cancel()
	if <-large {
		t.Fatal("cancelled, and yet it has room")
	}
	if !<-small {
		t.Fatal("the next was not woken")
	}
	lost := waits(&r, context.Background(), gone, 80)
	close(gone)
	if <-lost {
		t.Fatal("room on a lost connection")
	}
	r.leave(40)
	r.leave(10)
	if r.requests != 0 || r.bytes != 0 || r.queue.Len() != 0 {
		t.Fatalf("%d requests, %d bytes are left", r.requests, r.bytes)
	}
}

func TestRoomThatComesAtTheSameMoment(t *testing.T) {
	var r room
	ctx, cancel := context.WithCancel(context.Background())
	r.limit(1, 100)
	r.enter(ctx, nil, 40)
	got := waits(&r, ctx, nil, 30)
	r.mu.Lock()
	cancel()
	time.Sleep(20 * time.Millisecond) // most often it has noticed by then; the test holds either way
	r.give(40)
	r.wake()
	r.mu.Unlock()
	if <-got {
		r.leave(30)
	}
	if r.requests != 0 || r.bytes != 0 {
		t.Fatalf("%d requests, %d bytes are left", r.requests, r.bytes)
	}
}

func TestRoomOfMany(t *testing.T) {
	var r room
	var inside, most atomic.Int64
	var all sync.WaitGroup
	r.limit(4, 1000)
	for i := 0; i < 200; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i%20)*time.Millisecond+time.Microsecond)
			defer cancel()
			if r.enter(ctx, nil, int64(i)) {
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				inside.Add(-1)
				r.leave(int64(i))
			}
		}(i)
	}
	all.Wait()
	if most.Load() > 4 || r.requests != 0 || r.bytes != 0 || r.queue.Len() != 0 {
		t.Fatalf("%d inside, %d requests, %d bytes are left", most.Load(), r.requests, r.bytes)
	}
}
