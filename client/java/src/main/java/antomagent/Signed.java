package antomagent;

import java.util.Map;
import java.util.Optional;

/**
 * A signed request. Send all headers and the body unchanged, to {@code url}, or to {@code uri} of the gateway you use.
 *
 * @param headers    unmodifiable; Client-Id, Request-Time, Signature, Content-Type, and Agent-Token with a merchant
 * @param uri        path and query that are signed; they may differ from those you gave (sandbox paths)
 * @param url        where to send; empty while the profile has no gateway
 * @param version    version of the merchant key, as staff counts them
 * @param keyVersion what stands as keyVersion in the Signature header
 * @param record     the line of the agent's record that says who had this signed; keep it beside the payment
 */
public record Signed(Map<String, String> headers, String uri, Optional<String> url, int version, int keyVersion, String record) {
    /** Without the headers: an Agent-Token is a secret and must not get into a log by accident. */
    @Override
    public String toString() {
        return "Signed[uri=" + uri + ", version=" + version + ", keyVersion=" + keyVersion + ", record=" + record + "]";
    }
}
