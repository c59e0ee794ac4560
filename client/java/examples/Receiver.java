import antomagent.AntomAgent;
import antomagent.AntomException;
import antomagent.ErrorClass;
import antomagent.VerifyRequest;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** Receives Antom's notifications with the JDK's HTTP server.   Receiver APP/ENV PORT   (0: any port) */
public final class Receiver {
    private static final int BODY_MAX = 1048576;
    private static final byte[] NONE = {};
    private static final byte[] DONE = "{\"result\":{\"resultCode\":\"SUCCESS\",\"resultStatus\":\"S\",\"resultMessage\":\"success\"}}"
            .getBytes(StandardCharsets.UTF_8);

    private final AntomAgent agent = AntomAgent.builder().name("Receiver.java 1").build();
    private final String profile;

    private Receiver(String profile) {
        this.profile = profile;
    }

    public static void main(String[] args) throws IOException {
        if (args.length != 2) {
            System.err.println("usage: Receiver APP/ENV PORT");
            System.exit(2);
        }
        System.setProperty("sun.net.httpserver.drainAmount", "0"); // a body that is not read is not waited for either
        System.setProperty("sun.net.httpserver.maxReqTime", "30"); // seconds: a slow sender does not keep a thread
        Receiver receiver = new Receiver(args[0]);
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[1])), 0);
        server.createContext("/", receiver::receive);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.start();
        System.out.println("listening on " + server.getAddress().getPort());
    }

    private void receive(HttpExchange exchange) throws IOException {
        try (exchange) {
            // The raw request target, unchanged: the server parses it, and answers 400 itself to one that java.net.URI does not
            // take. Behind a proxy that rewrites targets, pass on the one that reached the proxy.
            String target = exchange.getRequestURI().toString();
            byte[] body = exchange.getRequestMethod().equals("POST") ? bodyOf(exchange) : null;
            if (body == null) {
                answer(exchange, exchange.getRequestMethod().equals("POST") ? 413 : 405, NONE);
            } else if (isProven(exchange, target, body)) {
                System.out.println("notified " + target + " " + body.length);
                // Antom repeats notifications: what is done here must be done once for each paymentRequestId and notifyType
                answer(exchange, 200, DONE);
            }
        }
    }

    /** The bytes as they came: parsed after they are proven, not before. Null: too many. */
    private static byte[] bodyOf(HttpExchange exchange) throws IOException {
        String length = exchange.getRequestHeaders().getFirst("Content-Length");
        if (length != null && Long.parseLong(length) > BODY_MAX) {
            return null;
        }
        byte[] body = exchange.getRequestBody().readNBytes(BODY_MAX + 1);
        return body.length > BODY_MAX ? null : body;
    }

    /** False: it was refused, and the answer is sent. */
    private boolean isProven(HttpExchange exchange, String target, byte[] body) throws IOException {
        try {
            agent.verifyNotification(VerifyRequest.of(profile, "POST", target, exchange.getRequestHeaders(), body));
            return true;
        } catch (AntomException e) {
            System.err.println("refused " + target + ": " + e.getMessage());
            boolean isItsFault = e.errorClass() == ErrorClass.VERIFY || e.errorClass() == ErrorClass.CALLER;
            answer(exchange, isItsFault ? 400 : 503, NONE); // 503: Antom sends it again
            return false;
        }
    }

    private static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        if (status == 413) {
            exchange.getResponseHeaders().set("Connection", "close");
        }
        exchange.getResponseHeaders().set("Content-Type", "application/json");
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        exchange.getResponseBody().write(body);
    }
}
