package antomagent;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** What a connection takes at a time. Beyond it the agent would answer BUSY, so calls wait here, first come first served. */
final class Room {
    private record Waiter(long size, CompletableFuture<Boolean> isLetIn) {
    }

    private final Deque<Waiter> queue = new ArrayDeque<>();
    private long mostRequests = 128;
    private long mostBytes = 8388608;
    private long requests;
    private long bytes;
    private boolean isClosed;

    /** What the agent said; null: it stays as it was. */
    synchronized void limit(Long newRequests, Long newBytes) {
        mostRequests = newRequests == null ? mostRequests : newRequests;
        mostBytes = newBytes == null ? mostBytes : newBytes;
    }

    /**
     * Room for a request of this size, to be given back. One request always fits. False: the connection takes no more, and
     * nothing is to be given back. Ends with TIMEOUT at the deadline.
     */
    CompletableFuture<Boolean> take(long size, Deadline deadline) {
        Waiter waiter;
        synchronized (this) {
            if (isClosed) {
                return CompletableFuture.completedFuture(false);
            }
            if (queue.isEmpty() && fits(size)) {
                hold(size);
                return CompletableFuture.completedFuture(true);
            }
            waiter = new Waiter(size, new CompletableFuture<>());
            queue.add(waiter);
        }
        return deadline.bound(waiter.isLetIn, () -> leave(waiter));
    }

    void give(long size) {
        synchronized (this) {
            requests--;
            bytes -= size;
        }
        admit();
    }

    /** Whoever waits goes elsewhere. */
    void close() {
        List<Waiter> all;
        synchronized (this) {
            isClosed = true;
            all = new ArrayList<>(queue);
            queue.clear();
        }
        for (Waiter waiter : all) {
            waiter.isLetIn.complete(false);
        }
    }

    private void leave(Waiter waiter) {
        synchronized (this) {
            queue.remove(waiter);
        }
        admit(); // who stands behind a large one may fit
    }

    private void admit() {
        List<Waiter> next = new ArrayList<>();
        synchronized (this) {
            while (!queue.isEmpty() && fits(queue.peek().size)) {
                Waiter waiter = queue.remove();
                hold(waiter.size);
                next.add(waiter);
            }
        }
        for (Waiter waiter : next) {
            if (!waiter.isLetIn.complete(true)) { // its time was over in this instant
                give(waiter.size);
            }
        }
    }

    private boolean fits(long size) {
        return requests == 0 || (requests < mostRequests && bytes + size <= mostBytes);
    }

    private void hold(long size) {
        requests++;
        bytes += size;
    }
}
