package antomagent;

import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** Why a call has no result. Decide by {@link #code} where you know it, else by {@link #errorClass}. */
public final class AntomException extends RuntimeException {
    private static final long serialVersionUID = 1;
    private static final long NEVER = -1;
    private static final int DEADLINE = 503;
    private static final int TIMEOUT = 506;

    private final int code;
    private final String name;
    private final ErrorClass errorClass;
    private final String reason;
    private final String field;
    private final long retryAfterMs;
    private final long repeatAfterMs;

    /** An error without more; the client needs none of these from outside, the tests of your application may. */
    public AntomException(int code, String name, ErrorClass errorClass, String reason) {
        this(code, name, errorClass, reason, null, NEVER, NEVER, null);
    }

    private AntomException(int code, String name, ErrorClass errorClass, String reason, String field, long retryAfterMs,
                           long repeatAfterMs, Throwable cause) {
        super(name + ": " + reason, cause);
        this.code = code;
        this.name = Objects.requireNonNull(name, "name");
        this.errorClass = Objects.requireNonNull(errorClass, "errorClass");
        this.reason = Objects.requireNonNull(reason, "reason");
        this.field = field;
        this.retryAfterMs = retryAfterMs;
        this.repeatAfterMs = repeatAfterMs;
    }

    /** The number of PROTOCOL.md section 5. */
    public int code() {
        return code;
    }

    /** Its name there; of a code that this version does not know, as the agent gave it. */
    public String name() {
        return name;
    }

    /** What to do about it. */
    public ErrorClass errorClass() {
        return errorClass;
    }

    /** A sentence: what was wrong and what is allowed. */
    public String reason() {
        return reason;
    }

    /** The parameter at fault, where there is one. */
    public Optional<String> field() {
        return Optional.ofNullable(field);
    }

    /** Milliseconds to wait before it is tried again, where the agent said so. */
    public OptionalLong retryAfterMs() {
        return retryAfterMs < 0 ? OptionalLong.empty() : OptionalLong.of(retryAfterMs);
    }

    /** A second try may succeed; one was made already where there was time for it. */
    public boolean isWorthRepeating() {
        return errorClass == ErrorClass.RETRY;
    }

    // ---- made here

    /** The error that the agent answered. */
    static AntomException answered(Map<String, Object> error) {
        if (!(error.get("code") instanceof Long number) || number != number.intValue()) {
            return badFrame("an error without a code");
        }
        int code = number.intValue();
        ErrorClass errorClass = ErrorClass.of(text(error, "class"), code);
        long wait = error.get("retry_after_ms") instanceof Long ms && ms >= 0 ? ms : NEVER;
        boolean isRepeated = errorClass == ErrorClass.RETRY && code != TIMEOUT && code != DEADLINE;
        return new AntomException(code, Objects.requireNonNullElse(text(error, "name"), "UNKNOWN"), errorClass,
                Objects.requireNonNullElse(text(error, "message"), ""), text(error, "field"), wait,
                isRepeated ? Math.max(wait, 0) : NEVER, null);
    }

    private static String text(Map<String, Object> error, String key) {
        return error.get(key) instanceof String text && !text.isEmpty() ? text : null;
    }

    static AntomException badFrame(String what) {
        return new AntomException(100, "BAD_FRAME", ErrorClass.CALLER, "the agent sent " + what);
    }

    static AntomException badParam(String field, String reason) {
        return new AntomException(104, "BAD_PARAM", ErrorClass.CALLER, reason, field, NEVER, NEVER, null);
    }

    /** The connection ended before the answer: worth another one. */
    static AntomException lost(String reason) {
        return new AntomException(501, "RETRY", ErrorClass.RETRY, reason, null, NEVER, 0, null);
    }

    /** The caller ended it: nothing is repeated. */
    static AntomException ended(String reason) {
        return new AntomException(501, "RETRY", ErrorClass.RETRY, reason);
    }

    static AntomException unreachable(String path, String why) {
        return new AntomException(505, "UNREACHABLE", ErrorClass.RETRY, path + ": " + why);
    }

    static AntomException timedOut() {
        return new AntomException(TIMEOUT, "TIMEOUT", ErrorClass.RETRY, "no answer came in time");
    }

    /** The thread that waits was interrupted; its flag is set again. */
    static AntomException interrupted() {
        Thread.currentThread().interrupt();
        return new AntomException(TIMEOUT, "TIMEOUT", ErrorClass.RETRY, "the thread was interrupted while it waited");
    }

    static AntomException gateway(String reason, Throwable cause) {
        return new AntomException(508, "GATEWAY", ErrorClass.RETRY, reason, null, NEVER, NEVER, cause);
    }

    /** Milliseconds before the one repetition; negative: there is none. */
    long repeatAfterMs() {
        return repeatAfterMs;
    }

    /** The same for the thread that calls: its own stack, and the one on which it was made as the cause. */
    AntomException here() {
        return new AntomException(code, name, errorClass, reason, field, retryAfterMs, repeatAfterMs, this);
    }

    /** What a future ended with. Anything but an AntomException is a fault of this client: INTERNAL. */
    static AntomException of(Throwable e) {
        Throwable inner = unwrap(e);
        return inner instanceof AntomException known ? known
                : new AntomException(600, "INTERNAL", ErrorClass.INTERNAL, "the client met an error of its own: " + inner, null,
                        NEVER, NEVER, inner);
    }

    /** Without what futures wrap around it. */
    static Throwable unwrap(Throwable e) {
        Throwable inner = e;
        while ((inner instanceof CompletionException || inner instanceof ExecutionException) && inner.getCause() != null) {
            inner = inner.getCause();
        }
        return inner;
    }
}
