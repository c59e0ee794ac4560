package antomagent

import (
	"container/list"
	"context"
	"sync"
)

// room keeps what is under way on a connection within the agent's limits, as it would answer BUSY beyond them. Whoever came
// first goes first; one request always fits.
type room struct {
	mu          sync.Mutex
	requestsMax int64
	bytesMax    int64
	requests    int64
	bytes       int64
	queue       list.List // of *waiter
}

type waiter struct {
	bytes int64
	ready chan struct{} // closed once its room is taken for it
}

// limit sets what fits from now on.
func (r *room) limit(requests, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requestsMax, r.bytesMax = requests, bytes
	r.wake()
}

// enter takes room for a request, or waits for it. false: gone or the context was done first, and nothing is taken.
func (r *room) enter(ctx context.Context, gone <-chan struct{}, bytes int64) bool {
	r.mu.Lock()
	if r.queue.Len() == 0 && r.fits(bytes) {
		r.take(bytes)
		r.mu.Unlock()
		return true
	}
	w := &waiter{bytes: bytes, ready: make(chan struct{})}
	place := r.queue.PushBack(w)
	r.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-gone:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-w.ready: // at the same moment
		r.give(bytes)
	default:
		r.queue.Remove(place)
	}
	r.wake()
	return false
}

// leave gives back what enter took.
func (r *room) leave(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.give(bytes)
	r.wake()
}

func (r *room) fits(bytes int64) bool {
	return r.requests == 0 || (r.requests < r.requestsMax && r.bytes+bytes <= r.bytesMax)
}

func (r *room) take(bytes int64) {
	r.requests++
	r.bytes += bytes
}

func (r *room) give(bytes int64) {
	r.requests--
	r.bytes -= bytes
}

func (r *room) wake() {
	for first := r.queue.Front(); first != nil; first = r.queue.Front() {
		w := first.Value.(*waiter)
		if !r.fits(w.bytes) {
			return
		}
		r.take(w.bytes)
		r.queue.Remove(first)
		close(w.ready)
	}
}
