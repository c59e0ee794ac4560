package antomagent;

import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * A request or a message whose fault is looked for.
 *
 * @param kind    {@code sign}, {@code response} or {@code notification}
 * @param profile {@code APP/sandbox} or {@code APP/live}
 * @param method  as it would be given for signing or verifying
 * @param uri     as it would be given for signing or verifying
 * @param body    as it would be given for signing or verifying
 * @param more    the rest by its name in PROTOCOL.md: {@code headers}, {@code time}, {@code merchant}, {@code max_age_ms},
 *                {@code trace}
 * @param timeout for this call; null: the client's
 */
public record ExplainRequest(String kind, String profile, String method, String uri, byte[] body, Map<String, Object> more,
                             Duration timeout) {
    public ExplainRequest {
        Objects.requireNonNull(kind, "kind");
        Objects.requireNonNull(profile, "profile");
        Objects.requireNonNull(method, "method");
        Objects.requireNonNull(uri, "uri");
        Objects.requireNonNull(body, "body");
        more = Collections.unmodifiableMap(new LinkedHashMap<>(more));
    }

    /** Would this be signed? */
    public static ExplainRequest of(SignRequest request) {
        Map<String, Object> more = new LinkedHashMap<>();
        more.put("time", request.time());
        more.put("merchant", request.merchant());
        more.put("trace", request.trace());
        return new ExplainRequest("sign", request.profile(), request.method(), request.uri(), request.body(), more,
                request.timeout());
    }

    /** Would this response be taken? Give all headers: a time that was signed may stand in another one. */
    public static ExplainRequest ofResponse(VerifyRequest message) {
        return ofMessage("response", message);
    }

    /** Would this notification be taken? */
    public static ExplainRequest ofNotification(VerifyRequest message) {
        return ofMessage("notification", message);
    }

    private static ExplainRequest ofMessage(String kind, VerifyRequest m) {
        Map<String, Object> more = new LinkedHashMap<>();
        more.put("headers", m.headers());
        more.put("max_age_ms", m.maxAge() == null ? null : m.maxAge().toMillis());
        more.put("trace", m.trace());
        return new ExplainRequest(kind, m.profile(), m.method(), m.uri(), m.body(), more, m.timeout());
    }
}
