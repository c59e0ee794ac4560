package antomagent;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Antom over HTTP on this machine, with a key; and, for the scripted agent, the judgement of what that key has signed. */
final class FalseAntom implements AutoCloseable {
    static final String CLIENT = "5Y00";
    static final String TIME = "2023-11-14T22:13:20+08:00";

    record Seen(String method, String target, Map<String, List<String>> headers, byte[] body) {
    }

    /** What it answers. */
    interface Reply {
        void to(HttpExchange exchange, Seen seen) throws IOException;
    }

    final List<Seen> seen = Collections.synchronizedList(new ArrayList<>());
    volatile Reply reply = (exchange, s) -> answer(exchange, 200, headers(s.target(), BODY), BODY);
    static final byte[] BODY = "{\"result\":{\"resultStatus\":\"S\",\"note\":\"é余\"}}".getBytes(StandardCharsets.UTF_8);
    private final HttpServer server;
    private final ExecutorService threads = Executors.newCachedThreadPool();
    private final KeyPair key;

    FalseAntom(HttpServer server) throws IOException, GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        key = generator.generateKeyPair();
        this.server = server;
        server.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            try (exchange) {
                Seen s = new Seen(exchange.getRequestMethod(), exchange.getRequestURI().toString(), exchange.getRequestHeaders(),
                        exchange.getRequestBody().readAllBytes());
                seen.add(s);
                reply.to(exchange, s);
            }
        });
        server.setExecutor(threads);
        server.start();
    }

    FalseAntom() throws IOException, GeneralSecurityException {
        this(HttpServer.create());
    }

    int port() {
        return server.getAddress().getPort();
    }

    String publicKey() {
        return Base64.getEncoder().encodeToString(key.getPublic().getEncoded());
    }

    @Override
    public void close() {
        server.stop(0);
        threads.shutdownNow();
    }

    static void answer(HttpExchange exchange, int status, Map<String, String> headers, byte[] body) throws IOException {
        headers.forEach(exchange.getResponseHeaders()::set);
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
    }

    /** Of a signed response. */
    Map<String, String> headers(String target, byte[] body) {
        try {
            Signature signature = Signature.getInstance("SHA256withRSA");
            signature.initSign(key.getPrivate());
            signature.update(head(target, CLIENT, TIME));
            signature.update(body);
            String value = URLEncoder.encode(Base64.getEncoder().encodeToString(signature.sign()), StandardCharsets.UTF_8);
            Map<String, String> out = new LinkedHashMap<>();
            out.put("signature", "algorithm=RSA256, keyVersion=1, signature=" + value);
            out.put("response-time", TIME);
            out.put("client-id", CLIENT);
            return out;
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    /** What the agent answers to verify_response. */
    Map<String, Object> judge(Map<String, Object> params) {
        Map<String, String> came = new LinkedHashMap<>();
        ((Map<?, ?>) params.get("headers"))
                .forEach((name, values) -> came.put(name.toString().toLowerCase(Locale.ROOT), (String) ((List<?>) values).get(0)));
        String signature = came.getOrDefault("signature", "");
        String time = came.getOrDefault("response-time", "");
        String client = came.getOrDefault("client-id", "");
        if (signature.isEmpty() && time.isEmpty()) {
            throw new AntomException(400, "UNSIGNED", ErrorClass.VERIFY, "m");
        }
        if (signature.isEmpty() || time.isEmpty() || client.isEmpty()) {
            throw new AntomException(401, "HALF_SIGNED", ErrorClass.VERIFY, "m");
        }
        if (!isMine(signature, head((String) params.get("uri"), client, time), (byte[]) params.get("body"))) {
            throw new AntomException(405, "SIGNATURE_INVALID", ErrorClass.VERIFY, "m");
        }
        return ScriptedAgent.map("version", 1, "time", time, "age_ms", 0);
    }

    private boolean isMine(String header, byte[] head, byte[] body) {
        String value = header.replaceFirst("(?i).*signature\\s*=\\s*", "").replace("+", "%2B");
        try {
            Signature signature = Signature.getInstance("SHA256withRSA");
            signature.initVerify(key.getPublic());
            signature.update(head);
            signature.update(body);
            return signature.verify(Base64.getDecoder().decode(URLDecoder.decode(value, StandardCharsets.UTF_8)));
        } catch (GeneralSecurityException | IllegalArgumentException e) {
            return false;
        }
    }

    private static byte[] head(String target, String client, String time) {
        return ("POST " + target + "\n" + client + "." + time + ".").getBytes(StandardCharsets.UTF_8);
    }
}
