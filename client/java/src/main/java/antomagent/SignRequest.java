package antomagent;

import java.time.Duration;
import java.util.Objects;

/**
 * A request to Antom that shall be signed.
 *
 * @param profile  {@code APP/sandbox} or {@code APP/live}
 * @param method   the HTTP method: {@code POST}
 * @param uri      path and query
 * @param body     exactly the bytes that will be sent; not copied: leave them as they are until the call has ended
 * @param time     what shall stand in Request-Time; null: the agent's clock
 * @param merchant for ISVs: the merchant whose authorization token goes along; null: none
 * @param trace    goes into the agent's log, to find this call again; null: none
 * @param timeout  for this call, its repetition included, at most a day; null: the client's
 */
public record SignRequest(String profile, String method, String uri, byte[] body, String time, String merchant, String trace,
                          Duration timeout) {
    public SignRequest {
        Objects.requireNonNull(profile, "profile");
        Objects.requireNonNull(method, "method");
        Objects.requireNonNull(uri, "uri");
        Objects.requireNonNull(body, "body");
    }

    /** One with all that is optional left out. */
    public static SignRequest of(String profile, String method, String uri, byte[] body) {
        return new SignRequest(profile, method, uri, body, null, null, null, null);
    }

    /** The same with this text in Request-Time. */
    public SignRequest withTime(String newTime) {
        return new SignRequest(profile, method, uri, body, newTime, merchant, trace, timeout);
    }

    /** The same for this merchant of an ISV. */
    public SignRequest withMerchant(String newMerchant) {
        return new SignRequest(profile, method, uri, body, time, newMerchant, trace, timeout);
    }

    /** The same with this text, at most 128 bytes, for the agent's log. */
    public SignRequest withTrace(String newTrace) {
        return new SignRequest(profile, method, uri, body, time, merchant, newTrace, timeout);
    }

    /** The same with a timeout of its own. */
    public SignRequest withTimeout(Duration newTimeout) {
        return new SignRequest(profile, method, uri, body, time, merchant, trace, newTimeout);
    }
}
