import antomagent.AntomAgent;
import antomagent.AntomException;
import antomagent.SignRequest;
import antomagent.Signed;
import antomagent.VerifyRequest;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** One payment: signed by the agent, sent by the JDK's HTTP client, its response proven by the agent.   Pay APP/ENV [AMOUNT] */
public final class Pay {
    private static final String PAY = "/ams/api/v1/payments/pay";

    public static void main(String[] args) throws InterruptedException {
        if (args.length < 1 || args.length > 2 || (args.length == 2 && !args[1].matches("[0-9]{1,12}"))) {
            System.err.println("usage: Pay APP/ENV [AMOUNT]");
            System.exit(2);
        }
        try (AntomAgent agent = AntomAgent.builder().name("Pay.java 1").build()) {
            System.out.println("paid " + pay(agent, args[0], args.length == 2 ? args[1] : "100"));
        } catch (AntomException e) {
            System.err.println(e.code() + " " + e.getMessage());
            System.exit(1);
        } catch (IOException | GeneralSecurityException e) {
            System.err.println(e); // the payment may have been made: ask Antom with the same paymentRequestId
            System.exit(1);
        }
    }

    private static String pay(AntomAgent agent, String profile, String amount)
            throws IOException, GeneralSecurityException, InterruptedException {
        String json = "{\"paymentRequestId\":\"" + UUID.randomUUID() + "\",\"paymentAmount\":{\"currency\":\"USD\",\"value\":\"" + amount
                + "\"}}";
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        Signed signed = agent.signRequest(SignRequest.of(profile, "POST", PAY, body));
        String url = signed.url().orElseThrow(() -> new IOException(profile + " has no gateway yet"));
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(30));
        signed.headers().forEach(request::setHeader);
        request.POST(HttpRequest.BodyPublishers.ofByteArray(body)); // the bytes that are signed
        HttpResponse<byte[]> response = http().send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
        agent.verifyResponse(VerifyRequest.of(profile, "POST", signed.uri(), response.headers().map(), response.body()));
        return result(new String(response.body(), StandardCharsets.UTF_8));
    }

    /** With the JDK's authorities, or those of the file that ANTOM_CA_FILE names. */
    private static HttpClient http() throws IOException, GeneralSecurityException {
        HttpClient.Builder client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(15));
        String file = System.getenv("ANTOM_CA_FILE");
        if (file != null && !file.isEmpty()) {
            KeyStore authorities = KeyStore.getInstance(KeyStore.getDefaultType());
            authorities.load(null, null);
            try (InputStream in = Files.newInputStream(Path.of(file))) {
                for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                    authorities.setCertificateEntry("ca" + authorities.size(), one);
                }
            }
            TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
            trust.init(authorities);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(null, trust.getTrustManagers(), null);
            client.sslContext(context);
        }
        return client.build();
    }

    /** Of a proven response. An application takes a JSON library; the JDK has none. */
    private static String result(String json) throws IOException {
        for (String key : new String[] {"paymentId", "resultCode"}) {
            Matcher found = Pattern.compile("\"" + key + "\"\\s*:\\s*\"([^\"\\\\]*)\"").matcher(json);
            if (found.find()) {
                return found.group(1);
            }
        }
        throw new IOException("the response has no resultCode");
    }
}
