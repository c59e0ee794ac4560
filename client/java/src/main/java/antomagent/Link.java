package antomagent;

import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** One connection, with any number of calls under way. Once it is lost it stays so, and whoever waits is told. */
final class Link implements Pipe.Listener {
    /** Told by the thread of the connection of each event that this version knows. */
    interface Listener {
        /** Nobody watches; the link itself heeds {@code draining}. */
        Listener NONE = event -> { };

        void came(AgentEvent event);
    }

    private static final int ID_MAX = 0x7fffffff;

    private final Listener listener;
    private final Pipe pipe;
    private final Room room = new Room();
    private final CompletableFuture<Link> ready = new CompletableFuture<>();
    private final CompletableFuture<AntomException> lost = new CompletableFuture<>();
    private AntomException said; // of the thread of the pipe
    private volatile int frameMax = Splitter.FRAME_MAX;

    // guarded by this
    private final Map<Integer, CompletableFuture<Object>> waiting = new HashMap<>();
    private int nextId;
    private boolean isDraining;
    private AntomException end; // why it is lost; null while it is open

    /** One that begins to connect. errors: UNREACHABLE when not even that is possible. */
    Link(UnixDomainSocketAddress address, String name, Listener listener) {
        this.listener = listener;
        this.pipe = Pipe.open(address);
        CompletableFuture<Object> hello = new CompletableFuture<>();
        hello.thenAccept(this::adopt).exceptionally(e -> {
            lose(AntomException.of(e));
            return null;
        });
        try {
            send("hello", Map.of("versions", List.of(1), "client", name), hello);
        } catch (AntomException e) {
            pipe.close();
            throw e;
        }
    }

    void start() {
        pipe.start(this);
    }

    /** {@code then} is run with the reason, by the thread that ends the link; at once when it has ended. */
    void whenLost(Consumer<AntomException> then) {
        lost.thenAccept(then);
    }

    /** New calls may use it. */
    synchronized boolean isUsable() {
        return end == null && !isDraining;
    }

    /** Where a call waits before it uses {@link #call}. */
    Room room() {
        return room;
    }

    /** The link itself, when the agent has said what it takes. */
    CompletableFuture<Link> ready(Deadline deadline) {
        if (ready.isDone() && !ready.isCompletedExceptionally()) {
            return ready;
        }
        long before = pipe.reads();
        return deadline.bound(ready.copy(), () -> giveUpIfSilent(before));
    }

    /** One request and its answer, whatever is under way beside it. Ends with an AntomException. */
    CompletableFuture<Object> call(String method, Map<String, ?> params, Deadline deadline) {
        long left = deadline.leftMs();
        if (left < 1) {
            return CompletableFuture.failedFuture(AntomException.timedOut());
        }
        Map<String, Object> all = new LinkedHashMap<>(params);
        all.put("deadline_ms", left);
        long before = pipe.reads();
        CompletableFuture<Object> answer = new CompletableFuture<>();
        int id;
        try {
            id = send(method, all, answer);
        } catch (AntomException e) {
            return CompletableFuture.failedFuture(e);
        }
        return deadline.bound(answer, () -> {
            forget(id); // it is not used again, so a late answer meets nobody
            giveUpIfSilent(before);
        });
    }

    /** Ends it, unless it has ended. */
    void lose(AntomException why) {
        List<CompletableFuture<Object>> left;
        synchronized (this) {
            if (end != null) {
                return;
            }
            end = why;
            left = new ArrayList<>(waiting.values());
            waiting.clear();
        }
        pipe.close();
        room.close();
        left.forEach(answer -> answer.completeExceptionally(why));
        ready.completeExceptionally(why);
        lost.complete(why);
    }

    // ---- by the thread of the pipe

    @Override
    public void came(Message message) {
        if (message instanceof Message.Event event) {
            if (event.name().equals("draining")) {
                drain();
            }
            AgentEvent known = Results.event(event);
            if (known != null) {
                listener.came(known);
            }
        } else if (message instanceof Message.Answer answer) {
            take(answer);
        }
    }

    @Override
    public void ended(AntomException why) {
        if (why != null) {
            lose(why);
        } else if (said != null) {
            lose(said);
        } else {
            lose(AntomException.lost("the agent closed the connection before it answered"));
        }
    }

    private void take(Message.Answer answer) {
        if (answer.id() == null) {
            said = answer.error();
            return;
        }
        CompletableFuture<Object> call = forget(answer.id());
        if (call == null) {
            return;
        }
        if (answer.error() != null) {
            call.completeExceptionally(answer.error());
        } else {
            call.complete(answer.result());
        }
    }

    private void drain() {
        synchronized (this) {
            isDraining = true;
        }
        room.close();
    }

    private void adopt(Object hello) {
        Map<String, Object> limits = Unpacking.mapOrNull(Results.map(hello).get("limits"));
        if (limits != null) {
            room.limit(limits.get("requests_per_connection") instanceof Long n ? n : null,
                    limits.get("bytes_per_connection") instanceof Long n ? n : null);
            if (limits.get("frame") instanceof Long bytes) {
                frameMax = (int) Math.max(0, Math.min(bytes, Integer.MAX_VALUE - 64));
                pipe.limit(frameMax);
            }
        }
        ready.complete(this);
    }

    // ---- by any thread

    /** Returns the id. errors: BAD_PARAM; why the link ended. */
    private int send(String method, Map<String, ?> params, CompletableFuture<Object> answer) {
        int id;
        synchronized (this) {
            if (end != null) {
                throw end;
            }
            while (waiting.containsKey(nextId)) {
                nextId = (nextId + 1) & ID_MAX;
            }
            id = nextId;
            nextId = (id + 1) & ID_MAX;
            waiting.put(id, answer);
        }
        ByteBuffer frame;
        try {
            frame = Packing.frame(id, method, params, frameMax);
        } catch (AntomException e) {
            forget(id);
            throw e;
        }
        pipe.send(frame);
        return id;
    }

    private synchronized CompletableFuture<Object> forget(int id) {
        return waiting.remove(id);
    }

    private void giveUpIfSilent(long before) {
        if (pipe.reads() == before) {
            lose(AntomException.lost("the connection was given up, as nothing came on it any more"));
        }
    }
}
