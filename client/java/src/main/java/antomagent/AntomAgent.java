package antomagent;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.function.Function;

/**
 * Calls to one agent, from any number of threads, all on one connection.
 *
 * <p>Nothing is connected before the first call. A lost connection, and an error of class "retry", are repeated once, if there
 * is time. Every call ends by its timeout, in a result or an {@link AntomException}. Cancelling a future does not end its call.
 *
 * <p>A call named {@code ...Async} never waits; its future is completed by the executor of the builder, and ends exceptionally
 * with the AntomException that the other form throws.
 */
public final class AntomAgent implements AutoCloseable {
    private final Caller caller;
    private final Duration timeout;
    private final Executor executor;

    private AntomAgent(Builder options) {
        caller = new Caller(Caller.address(options.socket), options.name);
        timeout = options.timeout;
        executor = options.executor == null ? Completing.DEFAULT : options.executor;
    }

    /** A client with the default options. */
    public static AntomAgent create() {
        return builder().build();
    }

    /** Options of a client. */
    public static Builder builder() {
        return new Builder();
    }

    /** Options of a client; what is not set has its default. */
    public static final class Builder {
        private String socket;
        private Duration timeout = Duration.ofSeconds(10);
        private String name = Caller.NAME;
        private Executor executor;

        private Builder() {
        }

        /** Path of agent.sock, at most 107 bytes; default, and when null: $ANTOM_AGENT_SOCKET, else /run/antom-agent/agent.sock. */
        public Builder socket(String path) {
            socket = path;
            return this;
        }

        /** For each call, its repetition included, unless the call names another; default 10 seconds, at most a day. */
        public Builder timeout(Duration ofCalls) {
            timeout = Objects.requireNonNull(ofCalls, "timeout");
            return this;
        }

        /** Of your service and its version, at most 128 bytes, for the agent's log. */
        public Builder name(String ofService) {
            name = Objects.requireNonNull(ofService, "name");
            return this;
        }

        /**
         * What completes the futures of this client, and so runs what hangs on them. Default: the common pool, or on a machine
         * where that has one thread only, threads that come and go. One that runs its tasks in the thread that hands them over
         * is fast, and then nothing that hangs on a future may wait.
         */
        public Builder executor(Executor ofFutures) {
            executor = Objects.requireNonNull(ofFutures, "executor");
            return this;
        }

        /** @throws AntomException BAD_PARAM, field {@code path} */
        public AntomAgent build() {
            return new AntomAgent(this);
        }
    }

    /** Ends calls under way, and watches, with RETRY. Calls made later end so too. May be called again. */
    @Override
    public void close() {
        caller.close();
    }

    // ---- calls

    /** Signs a request to Antom. */
    public Signed signRequest(SignRequest request) {
        return signing(request).await();
    }

    /** As {@link #signRequest}. */
    public CompletableFuture<Signed> signRequestAsync(SignRequest request) {
        return signing(request).future();
    }

    /**
     * Proves that a response is Antom's.
     *
     * @throws AntomException for everything that is not proven
     */
    public Verified verifyResponse(VerifyRequest message) {
        return verifying("verify_response", message).await();
    }

    /** As {@link #verifyResponse}: ends exceptionally for everything that is not proven. */
    public CompletableFuture<Verified> verifyResponseAsync(VerifyRequest message) {
        return verifying("verify_response", message).future();
    }

    /**
     * Proves that a notification is Antom's. Antom repeats notifications: expect each twice.
     *
     * @throws AntomException for everything that is not proven
     */
    public Verified verifyNotification(VerifyRequest message) {
        return verifying("verify_notification", message).await();
    }

    /** As {@link #verifyNotification}: ends exceptionally for everything that is not proven. */
    public CompletableFuture<Verified> verifyNotificationAsync(VerifyRequest message) {
        return verifying("verify_notification", message).future();
    }

    /** What is signed, and which mistake explains a refusal: for people who look for a fault. The keys: see PROTOCOL.md. */
    public Map<String, Object> explain(ExplainRequest request) {
        return explaining(request).await();
    }

    /** As {@link #explain}. */
    public CompletableFuture<Map<String, Object>> explainAsync(ExplainRequest request) {
        return explaining(request).future();
    }

    /** State of the agent and of the profiles this caller may use; answers while the agent is locked, too. */
    public Health health() {
        return health(timeout);
    }

    /** The same with a timeout of its own. */
    public Health health(Duration ofCall) {
        return calling("health", Map.of(), ofCall, Results::health).await();
    }

    /** As {@link #health()}. */
    public CompletableFuture<Health> healthAsync() {
        return calling("health", Map.of(), timeout, Results::health).future();
    }

    /**
     * Any method of the agent; its result as it came: String, Long, Double, Boolean, byte[], List, Map, null.
     *
     * @param params   of the same types, Integer, Short, Byte, Float and any Collection too; null values are left out
     * @param ofCall   null: the client's
     */
    public Object call(String method, Map<String, ?> params, Duration ofCall) {
        return calling(method, params, ofCall, result -> result).await();
    }

    /** As {@link #call}. */
    public CompletableFuture<Object> callAsync(String method, Map<String, ?> params, Duration ofCall) {
        return calling(method, params, ofCall, result -> result).future();
    }

    /**
     * Events, the epoch in force first, until the connection is lost. Waits at most the client's timeout for the agent's
     * consent.
     */
    public Watch watch() {
        Watch watch = new Watch(caller);
        try {
            watch.begin(awaited(watch.ask(Deadline.in(timeout)), Results::firstEvent));
        } catch (AntomException e) {
            watch.close();
            throw e;
        }
        return watch;
    }

    // ---- how they are made

    /** A call that is under way, in either form. */
    private record Call<T>(CompletableFuture<Object> result, Function<Object, T> form, Executor executor) {
        T await() {
            return awaited(result, form);
        }

        /** Not on the thread of the connection: what hangs on the future may take its time, or make calls of its own. */
        CompletableFuture<T> future() {
            CompletableFuture<T> out = new CompletableFuture<>();
            result.whenCompleteAsync((value, e) -> {
                if (e == null) {
                    out.complete(form.apply(value));
                } else {
                    out.completeExceptionally(AntomException.of(e));
                }
            }, executor).exceptionally(e -> { // the result has no such form, or the executor refused it
                out.completeExceptionally(AntomException.of(e));
                return null;
            });
            return out;
        }
    }

    private static <T> T awaited(CompletableFuture<Object> result, Function<Object, T> form) {
        try {
            return form.apply(result.get());
        } catch (ExecutionException e) {
            throw AntomException.of(e).here();
        } catch (InterruptedException e) {
            throw AntomException.interrupted();
        }
    }

    private Call<Signed> signing(SignRequest r) {
        Map<String, Object> params = new LinkedHashMap<>();
        params.put("profile", r.profile());
        params.put("method", r.method());
        params.put("uri", r.uri());
        params.put("body", r.body());
        params.put("time", r.time());
        params.put("merchant", r.merchant());
        params.put("trace", r.trace());
        return calling("sign_request", params, r.timeout(), Results::signed);
    }

    private Call<Verified> verifying(String method, VerifyRequest r) {
        Map<String, Object> params = new LinkedHashMap<>();
        params.put("profile", r.profile());
        params.put("method", r.method());
        params.put("uri", r.uri());
        params.put("headers", r.headers());
        params.put("body", r.body());
        params.put("max_age_ms", r.maxAge() == null ? null : r.maxAge().toMillis());
        params.put("trace", r.trace());
        return calling(method, params, r.timeout(), Results::verified);
    }

    private Call<Map<String, Object>> explaining(ExplainRequest r) {
        Map<String, Object> params = new LinkedHashMap<>(r.more());
        params.put("kind", r.kind());
        params.put("profile", r.profile());
        params.put("method", r.method());
        params.put("uri", r.uri());
        params.put("body", r.body());
        return calling("explain", params, r.timeout(), Results::map);
    }

    private <T> Call<T> calling(String method, Map<String, ?> params, Duration ofCall, Function<Object, T> form) {
        return new Call<>(caller.call(method, params, Deadline.in(ofCall == null ? timeout : ofCall)), form, executor);
    }
}
