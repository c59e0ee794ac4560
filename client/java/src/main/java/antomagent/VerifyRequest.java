package antomagent;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * A response or a notification that shall be proven.
 *
 * @param profile {@code APP/sandbox} or {@code APP/live}
 * @param method  of the request, also for a response: {@code POST}
 * @param uri     of a response: path and query of the request. Of a notification: the raw request target as it reached your
 *                edge, neither decoded nor rewritten
 * @param headers all that came, or only those of the signature; names in any case, each with its values
 * @param body    the bytes as they came, before any parsing; not copied: leave them as they are until the call has ended
 * @param maxAge  the oldest that is taken, to the millisecond; zero: any age; null: the profile's setting
 * @param trace   goes into the agent's log, to find this call again; null: none
 * @param timeout for this call, its repetition included, at most a day; null: the client's
 */
public record VerifyRequest(String profile, String method, String uri, Map<String, List<String>> headers, byte[] body,
                            Duration maxAge, String trace, Duration timeout) {
    public VerifyRequest {
        Objects.requireNonNull(profile, "profile");
        Objects.requireNonNull(method, "method");
        Objects.requireNonNull(uri, "uri");
        Objects.requireNonNull(body, "body");
        headers = copy(headers);
    }

    /** One with all that is optional left out. {@code java.net.http.HttpHeaders.map()} fits; null headers are none. */
    public static VerifyRequest of(String profile, String method, String uri, Map<String, ? extends Collection<String>> headers,
                                   byte[] body) {
        return new VerifyRequest(profile, method, uri, copy(headers), body, null, null, null);
    }

    /** The same for headers of which each has one value. A name given in two spellings stays twice, for the agent to refuse. */
    public static VerifyRequest ofSingle(String profile, String method, String uri, Map<String, String> headers, byte[] body) {
        Map<String, List<String>> lists = new LinkedHashMap<>();
        headers.forEach((name, value) -> lists.put(name, value == null ? List.of() : List.of(value)));
        return of(profile, method, uri, lists, body);
    }

    /** The same with this greatest age. */
    public VerifyRequest withMaxAge(Duration newMaxAge) {
        return new VerifyRequest(profile, method, uri, headers, body, newMaxAge, trace, timeout);
    }

    /** The same with this text, at most 128 bytes, for the agent's log. */
    public VerifyRequest withTrace(String newTrace) {
        return new VerifyRequest(profile, method, uri, headers, body, maxAge, newTrace, timeout);
    }

    /** The same with a timeout of its own. */
    public VerifyRequest withTimeout(Duration newTimeout) {
        return new VerifyRequest(profile, method, uri, headers, body, maxAge, trace, newTimeout);
    }

    /** Unmodifiable. Null names are skipped: {@code HttpURLConnection} gives the status line under one; so are null values. */
    static Map<String, List<String>> copy(Map<String, ? extends Collection<String>> headers) {
        if (headers == null) {
            return Map.of();
        }
        Map<String, List<String>> out = new LinkedHashMap<>();
        headers.forEach((name, values) -> {
            if (name != null && values != null) {
                List<String> texts = new ArrayList<>(values);
                texts.removeIf(Objects::isNull);
                out.put(name, Collections.unmodifiableList(texts));
            }
        });
        return Collections.unmodifiableMap(out);
    }
}
