package antomagent;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.security.KeyPairGenerator;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Antom's official SDK for Java ({@code com.alipay.global.sdk:global-open-sdk-java} 2.x) on the agent's keys. A subclass of its
 * client calls this in place of the SDK's own transport:
 *
 * <pre>{@code
 * class AgentAlipayClient extends DefaultAlipayClient {
 *     private final SdkTransport transport;
 *
 *     AgentAlipayClient(String gateway, String antomPublicKey, String clientId, SdkTransport transport) {
 *         super(gateway, SdkTransport.throwawayKey(), antomPublicKey, clientId);
 *         this.transport = transport;
 *     }
 *
 *     @Override
 *     public HttpRpcResult sendRequest(String url, String method, Map<String, String> header, String body) {
 *         SdkTransport.Answer answer = transport.send(url, method, header, body);
 *         HttpRpcResult result = new HttpRpcResult();
 *         result.setRspCode(answer.status());
 *         result.setRspBody(answer.body());
 *         result.setResponseTime(answer.time());
 *         result.setRspSign(answer.signature());
 *         return result;
 *     }
 * }
 * }</pre>
 *
 * The request is signed by the agent when it is sent, and the response is proven by the agent before the SDK sees it. Version
 * 2.2.8 of the SDK returns a response without signature, or without its time, as if it were Antom's; here that is an
 * {@link AntomException}, which passes through {@code execute}. So is everything else that is not proven.
 *
 * <p>Lost: the SDK signs each request with the throwaway key first, which takes about a millisecond and is discarded; and its
 * own transport with its settings. This one checks certificates, which that does not. The SDK checks the response a second time
 * with the Antom public key it was given, so that stays in its configuration. Run against a stand-in of that seam, not against
 * the SDK itself.
 *
 * <p>For any number of threads.
 */
public final class SdkTransport {
    private static final int BODY_MAX = 1048576; // what the agent verifies
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final Set<String> REPLACED = Set.of("client-id", "request-time", "signature", "content-type", "agent-token");
    private static final Set<String> LOOPBACK = Set.of("127.0.0.1", "[::1]", "localhost");

    private final AntomAgent agent;
    private final String profile;
    private final HttpClient http;
    private final Duration timeout;

    /**
     * A proven response, in the parts that the SDK wants.
     *
     * @param status    of HTTP; a proven response may have any
     * @param body      its text
     * @param time      the header response-time
     * @param signature what stands behind {@code signature=} in the header of that name
     */
    public record Answer(int status, String body, String time, String signature) {
    }

    /** One for a profile, with an HTTP client of its own: HTTP/1.1, the JDK's authorities, no redirects, 30 seconds a call. */
    public SdkTransport(AntomAgent agent, String profile) {
        this(agent, profile, HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(TIMEOUT).build(), TIMEOUT);
    }

    /** The same with your HTTP client, for a proxy or authorities of your own. {@code timeout}: of an exchange over HTTP. */
    public SdkTransport(AntomAgent agent, String profile, HttpClient http, Duration timeout) {
        this.agent = Objects.requireNonNull(agent, "agent");
        this.profile = Objects.requireNonNull(profile, "profile");
        this.http = Objects.requireNonNull(http, "http");
        this.timeout = Objects.requireNonNull(timeout, "timeout");
    }

    /** A new RSA key of 2048 bits, PKCS#8 in base64, as the SDK wants one. It is stored nowhere, and never known to Antom. */
    public static String throwawayKey() {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
            generator.initialize(2048);
            return Base64.getEncoder().encodeToString(generator.generateKeyPair().getPrivate().getEncoded());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK makes RSA keys", e);
        }
    }

    /**
     * Signs the request, sends it, and proves the response.
     *
     * @param requestUrl gateway and path as the SDK joins them; https, or http to this machine
     * @param httpMethod {@code POST}
     * @param header     of the SDK and its user; those that belong to the signature are replaced by the agent's
     * @param reqBody    sent as UTF-8
     * @throws AntomException of the agent; GATEWAY when Antom does not answer: the payment may be made all the same; BAD_PARAM
     *     for a URL or header that cannot be sent
     */
    public Answer send(String requestUrl, String httpMethod, Map<String, String> header, String reqBody) {
        URI asked = checked(requestUrl);
        byte[] body = reqBody.getBytes(StandardCharsets.UTF_8);
        Signed signed = agent.signRequest(SignRequest.of(profile, httpMethod, target(asked), body));
        HttpRequest request = request(asked, signed, httpMethod, header, body);
        HttpResponse<byte[]> response = exchange(request);
        agent.verifyResponse(VerifyRequest.of(profile, httpMethod, signed.uri(), response.headers().map(), response.body()));
        return new Answer(response.statusCode(), text(response.body()), header(response, "response-time"),
                signature(header(response, "signature")));
    }

    /** The SDK takes a response that lacks these for good, so none gets there, whatever the agent says. */
    private static String header(HttpResponse<byte[]> response, String name) {
        String value = response.headers().firstValue(name).orElse("");
        if (value.isBlank()) {
            throw halfSigned(name);
        }
        return value;
    }

    private static AntomException halfSigned(String missing) {
        return new AntomException(401, "HALF_SIGNED", ErrorClass.VERIFY, "the response has no " + missing);
    }

    private static URI checked(String url) {
        URI uri = parsed(url);
        String host = uri.getHost();
        boolean isSafe = "https".equalsIgnoreCase(uri.getScheme())
                || ("http".equalsIgnoreCase(uri.getScheme()) && host != null && LOOPBACK.contains(host.toLowerCase(Locale.ROOT)));
        if (!isSafe || host == null || uri.getRawUserInfo() != null || uri.getRawFragment() != null) {
            throw AntomException.badParam("url", "is https://HOST/PATH");
        }
        return uri;
    }

    private static URI parsed(String url) {
        try {
            return URI.create(url);
        } catch (IllegalArgumentException e) {
            throw AntomException.badParam("url", "is no URL that can be sent: " + e.getMessage());
        }
    }

    /** Path and query as they stand there. */
    private static String target(URI uri) {
        return uri.getRawPath() + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery());
    }

    private HttpRequest request(URI asked, Signed signed, String method, Map<String, String> header, byte[] body) {
        URI to = parsed(asked.getScheme() + "://" + asked.getRawAuthority() + signed.uri());
        if (!target(to).equals(signed.uri())) {
            throw AntomException.badParam("url", "the path that is signed cannot be sent as it is: " + signed.uri());
        }
        HttpRequest.Builder request = HttpRequest.newBuilder(to).method(method, HttpRequest.BodyPublishers.ofByteArray(body));
        header.forEach((name, value) -> {
            if (!REPLACED.contains(name.toLowerCase(Locale.ROOT))) {
                set(request, name, value);
            }
        });
        signed.headers().forEach((name, value) -> set(request, name, value));
        return request.build();
    }

    private static void set(HttpRequest.Builder request, String name, String value) {
        try {
            request.setHeader(name, value);
        } catch (IllegalArgumentException e) { // some are the HTTP client's own, as Host
            throw AntomException.badParam("header", "cannot be sent: " + name);
        }
    }

    private HttpResponse<byte[]> exchange(HttpRequest request) {
        CompletableFuture<HttpResponse<byte[]>> response = http.sendAsync(request, info -> new BoundedBody(BODY_MAX));
        try {
            return response.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            throw AntomException.gateway("Antom did not answer: " + e.getCause(), e.getCause());
        } catch (TimeoutException e) {
            response.cancel(true);
            throw AntomException.gateway("Antom did not answer within " + timeout.toMillis() + " ms", e);
        } catch (InterruptedException e) {
            response.cancel(true);
            throw AntomException.interrupted();
        }
    }

    /** The SDK verifies the UTF-8 form of this text again: what has no such form cannot reach it. */
    private static String text(byte[] body) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(body)).toString();
        } catch (CharacterCodingException e) {
            throw AntomException.badParam("body", "the response is not UTF-8, which the SDK expects");
        }
    }

    /** The SDK would read a plus sign as a blank. */
    private static String signature(String header) {
        for (String part : header.split(",")) {
            int equals = part.indexOf('=');
            if (equals >= 0 && part.substring(0, equals).strip().equalsIgnoreCase("signature")) {
                String value = part.substring(equals + 1).strip().replace("+", "%2B");
                if (!value.isEmpty()) {
                    return value;
                }
            }
        }
        throw halfSigned("signature in the header of that name");
    }
}
