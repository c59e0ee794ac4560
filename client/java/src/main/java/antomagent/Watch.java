package antomagent;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/**
 * What changes at the agent, as it comes, on a connection of its own. Close it when you are done. While nobody takes the events
 * for a long time, the agent leaves some out, and says {@code lagged}.
 */
public final class Watch implements AutoCloseable {
    private static final int HELD_MAX = 1024; // events; behind that the connection is not read until one was taken

    private final Deque<AgentEvent> events = new ArrayDeque<>(); // guarded by this, as the next
    private AntomException end;
    private final Link link;

    /** errors: as Caller.open. */
    Watch(Caller caller) {
        link = caller.open(this::add);
        link.whenLost(this::end);
    }

    /** The agent's consent; {@link #begin} with it. */
    CompletableFuture<Object> ask(Deadline deadline) {
        return link.ready(deadline).thenCompose(l -> l.call("watch", Map.of(), deadline));
    }

    /**
     * Waits for the next event; the first one is the epoch in force. Any thread, several at a time if you like.
     *
     * @throws AntomException when the connection or the watch has ended, with {@code RETRY} or what the agent gave as the
     *     reason, each time from then on; with {@code TIMEOUT} when the thread is interrupted
     */
    public synchronized AgentEvent next() {
        while (events.isEmpty()) {
            if (end != null) {
                throw end.here();
            }
            try {
                wait();
            } catch (InterruptedException e) {
                throw AntomException.interrupted();
            }
        }
        AgentEvent event = events.remove();
        notifyAll();
        return event;
    }

    /** Ends it; a thread in {@link #next} is told. May be called again. */
    @Override
    public void close() {
        AntomException why = AntomException.ended("the watch was closed");
        synchronized (this) {
            events.clear();
        }
        end(why);
        link.lose(why);
    }

    /** In front of all that came before the answer was looked at. */
    synchronized void begin(AgentEvent first) {
        events.addFirst(first);
        notifyAll();
    }

    /** By the thread of the connection, which waits here for whoever takes the events. */
    private synchronized void add(AgentEvent event) {
        try {
            while (events.size() >= HELD_MAX && end == null) {
                wait();
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException("nobody interrupts this thread", e);
        }
        if (end == null) {
            events.add(event);
            notifyAll();
        }
    }

    private synchronized void end(AntomException why) {
        if (end == null) {
            end = why;
        }
        notifyAll();
    }
}
