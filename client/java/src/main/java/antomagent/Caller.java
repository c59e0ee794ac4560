package antomagent;

import java.net.UnixDomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.InvalidPathException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Calls with their one repetition, and the connections they use. Its futures may be completed by the thread of a connection. */
final class Caller {
    static final String NAME = "antomagent-java/0.1.0";
    private static final String SOCKET_DEFAULT = "/run/antom-agent/agent.sock";
    private static final int PATH_MAX = 107;
    private static final int AROUND_BODY = 4096; // bytes of a request beside its body, but for large headers

    private final UnixDomainSocketAddress address;
    private final String name;

    // guarded by this
    private final Set<Link> links = new HashSet<>(); // all that are open, those of watches too
    private Link link; // for calls
    private boolean isClosed;

    Caller(UnixDomainSocketAddress address, String name) {
        this.address = address;
        this.name = name;
    }

    /** Of agent.sock. {@code given} null or empty: as the environment says, or the default. errors: BAD_PARAM, field path. */
    static UnixDomainSocketAddress address(String given) {
        String path = given;
        if (path == null || path.isEmpty()) {
            path = System.getenv("ANTOM_AGENT_SOCKET");
        }
        if (path == null || path.isEmpty()) {
            path = SOCKET_DEFAULT;
        }
        if (path.getBytes(StandardCharsets.UTF_8).length > PATH_MAX) {
            throw AntomException.badParam("path", "a socket's path has at most " + PATH_MAX + " bytes");
        }
        try {
            return UnixDomainSocketAddress.of(path);
        } catch (InvalidPathException e) {
            throw AntomException.badParam("path", "is no path: " + e.getReason());
        }
    }

    /** The result, or an AntomException by the deadline. Null params are left out. */
    CompletableFuture<Object> call(String method, Map<String, ?> params, Deadline deadline) {
        Objects.requireNonNull(method, "method");
        Map<String, ?> taken = Collections.unmodifiableMap(new LinkedHashMap<>(params)); // for the repetition, as it is now
        return attempt(method, taken, deadline)
                .exceptionallyCompose(e -> repeat(AntomException.of(e), method, taken, deadline));
    }

    /** A connection that begins; {@code listener} may be called before this returns. errors: UNREACHABLE; RETRY when closed. */
    Link open(Link.Listener listener) {
        Link opened;
        synchronized (this) {
            if (isClosed) {
                throw closed();
            }
            opened = new Link(address, name, listener);
            links.add(opened);
        }
        opened.whenLost(why -> drop(opened));
        opened.start();
        return opened;
    }

    /** Ends what is under way with RETRY, and what comes later too. */
    void close() {
        List<Link> open;
        synchronized (this) {
            isClosed = true;
            open = new ArrayList<>(links);
        }
        open.forEach(l -> l.lose(closed()));
    }

    private synchronized void drop(Link lost) {
        links.remove(lost);
    }

    private static AntomException closed() {
        return AntomException.ended("the client was closed");
    }

    private CompletableFuture<Object> repeat(AntomException why, String method, Map<String, ?> params, Deadline deadline) {
        long pause = why.repeatAfterMs();
        if (pause < 0 || deadline.leftMs() <= pause) {
            return CompletableFuture.failedFuture(why);
        }
        if (pause == 0) {
            return attempt(method, params, deadline);
        }
        return CompletableFuture.runAsync(() -> { }, CompletableFuture.delayedExecutor(pause, TimeUnit.MILLISECONDS))
                .thenCompose(x -> attempt(method, params, deadline));
    }

    /** One try. A connection that takes no more while the call waits for room has not seen it: the next one gets it. */
    private CompletableFuture<Object> attempt(String method, Map<String, ?> params, Deadline deadline) {
        long size = AROUND_BODY + (params.get("body") instanceof byte[] body ? body.length : 0);
        return usable(deadline).thenCompose(l -> l.room().take(size, deadline).thenCompose(isLetIn -> isLetIn
                ? l.call(method, params, deadline).whenComplete((result, e) -> l.room().give(size))
                : attempt(method, params, deadline)));
    }

    private CompletableFuture<Link> usable(Deadline deadline) {
        try {
            return current().ready(deadline);
        } catch (AntomException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    /** The one that calls use now; it may still be connecting. */
    private synchronized Link current() {
        if (link == null || !link.isUsable()) {
            link = open(Link.Listener.NONE);
        }
        return link;
    }
}
