package antomagent;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import antomagent.standin.RpcResult;
import antomagent.standin.SdkClient;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.Timeout;

/** The adapter in the seam of Antom's SDK, between a scripted agent and a false Antom with a real key. */
public class SdkTransportTest {
    private static final String PAY = "/ams/api/v1/payments/pay";
    private static final String THROWAWAY = SdkTransport.throwawayKey();
    private static final String AGENTS = "algorithm=RSA256,keyVersion=3,signature=agents";

    @Rule
    public final Timeout patience = Timeout.seconds(60);

    private FalseAntom antom;
    private ScriptedAgent agent;
    private AntomAgent client;

    /** As the README shows it. */
    private static final class Adapted extends SdkClient {
        private final SdkTransport transport;

        Adapted(String gateway, String antomPublicKey, SdkTransport transport) {
            super(gateway, THROWAWAY, antomPublicKey, FalseAntom.CLIENT);
            this.transport = transport;
        }

        @Override
        protected Map<String, String> customHeader() {
            return Map.of("X-Of-The-User", "kept", "AGENT-TOKEN", "dropped");
        }

        @Override
        public RpcResult sendRequest(String url, String method, Map<String, String> header, String body) {
            SdkTransport.Answer answer = transport.send(url, method, header, body);
            RpcResult result = new RpcResult();
            result.setRspCode(answer.status());
            result.setRspBody(answer.body());
            result.setResponseTime(answer.time());
            result.setRspSign(answer.signature());
            return result;
        }
    }

    @Before
    public void open() throws IOException, GeneralSecurityException {
        antom = new FalseAntom();
        agent = ScriptedAgent.answering((method, params) -> method.equals("sign_request")
                ? ScriptedAgent.signed((String) params.get("uri"), AGENTS) : antom.judge(params));
        client = agent.client();
    }

    @After
    public void close() throws IOException {
        client.close();
        agent.close();
        antom.close();
    }

    private String gateway() {
        return "http://127.0.0.1:" + antom.port();
    }

    private SdkClient sdk() {
        return new Adapted(gateway(), antom.publicKey(), new SdkTransport(client, "shop/live"));
    }

    private void refused(String name) {
        assertEquals(name, assertThrows(AntomException.class, () -> sdk().execute(PAY, "{}")).name());
    }

    @Test
    public void signsAndProvesThroughTheAgent() throws GeneralSecurityException {
        String body = "{\"a\":\"é余🙂\"}";
        assertEquals(new String(FalseAntom.BODY, StandardCharsets.UTF_8), sdk().execute(PAY, body));
        FalseAntom.Seen seen = antom.seen.get(0);
        assertEquals("POST " + PAY, seen.method() + " " + seen.target());
        assertArrayEquals(body.getBytes(StandardCharsets.UTF_8), seen.body());
        assertEquals(List.of(AGENTS), seen.headers().get("Signature"));
        assertEquals(List.of("1"), seen.headers().get("Request-time"));
        assertEquals(List.of("5Y"), seen.headers().get("Client-id"));
        assertEquals(List.of("application/json; charset=UTF-8"), seen.headers().get("Content-type"));
        assertEquals(List.of("kept"), seen.headers().get("X-of-the-user"));
        assertFalse("the user's token", seen.headers().containsKey("Agent-token"));
        assertArrayEquals(body.getBytes(StandardCharsets.UTF_8), (byte[]) agent.asked.get(0).params().get("body"));
        assertArrayEquals(FalseAntom.BODY, (byte[]) agent.asked.get(1).params().get("body"));
    }

    @Test
    public void theTargetIsNotRewritten() throws GeneralSecurityException {
        String target = "/ams/api//v1/a%2fb%20c;d/../e?x=%C3%a9&y=a+b%26&&z";
        assertTrue(sdk().execute(target, "").contains("resultStatus"));
        assertEquals(target, antom.seen.get(0).target());
        assertEquals(target, agent.asked.get(0).params().get("uri"));
    }

    /** What the stand-in, as the SDK, takes for good when its transport gives it that. */
    @Test
    public void theSeamLetsUnsignedResponsesThrough() throws GeneralSecurityException {
        for (String[] row : new String[][] {{null, null}, {"", ""}, {"c2ln", ""}, {null, "2023-11-14T22:13:20Z"}}) {
            SdkClient careless = new SdkClient(gateway(), THROWAWAY, antom.publicKey(), FalseAntom.CLIENT) {
                @Override
                public RpcResult sendRequest(String url, String method, Map<String, String> header, String body) {
                    RpcResult result = new RpcResult();
                    result.setRspCode(200);
                    result.setRspBody("forged");
                    result.setRspSign(row[0]);
                    result.setResponseTime(row[1]);
                    return result;
                }
            };
            assertEquals("forged", careless.execute(PAY, "{}"));
        }
    }

    @Test
    public void nothingUnsignedOrHalfSignedReachesIt() {
        for (int status : new int[] {200, 500}) {
            for (int kept = 0; kept < 7; kept++) { // all sets of the three headers but the full one
                for (String instead : new String[] {null, ""}) {
                    int which = kept;
                    antom.reply = (exchange, s) -> {
                        Map<String, String> headers = new LinkedHashMap<>(antom.headers(s.target(), FalseAntom.BODY));
                        int bit = 1;
                        for (String name : List.of("signature", "response-time", "client-id")) {
                            if ((which & bit) == 0) {
                                headers.compute(name, (n, value) -> instead);
                            }
                            bit *= 2;
                        }
                        FalseAntom.answer(exchange, status, headers, FalseAntom.BODY);
                    };
                    refused((kept & 3) == 0 ? "UNSIGNED" : "HALF_SIGNED");
                }
            }
        }
    }

    @Test
    public void nothingForgedReachesIt() {
        byte[] other = "{}".getBytes(StandardCharsets.UTF_8);
        antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, antom.headers(s.target(), FalseAntom.BODY), other);
        refused("SIGNATURE_INVALID");
        antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, antom.headers("/other", FalseAntom.BODY), FalseAntom.BODY);
        refused("SIGNATURE_INVALID");
    }

    /** Even if the agent took it. */
    @Test
    public void whatTheSdkWouldNotCheckIsRefusedHereToo() throws IOException {
        try (ScriptedAgent credulous = ScriptedAgent.answering((method, params) -> method.equals("sign_request")
                ? ScriptedAgent.signed((String) params.get("uri"), AGENTS) : ScriptedAgent.map("version", 1, "time", "t", "age_ms", 0));
             AntomAgent its = credulous.client()) {
            SdkTransport transport = new SdkTransport(its, "shop/live");
            for (String signature : new String[] {null, "", "algorithm=RSA256,keyVersion=1", "signature=", "xsignature=abc"}) {
                antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, signature == null ? Map.of("response-time", "t")
                        : Map.of("response-time", "t", "signature", signature), FalseAntom.BODY);
                AntomException e = assertThrows(AntomException.class, () -> transport.send(gateway() + PAY, "POST", Map.of(), "{}"));
                assertEquals("HALF_SIGNED VERIFY", e.name() + " " + e.errorClass().name());
            }
            antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, Map.of("signature", "signature=abc"), FalseAntom.BODY);
            assertEquals("HALF_SIGNED", assertThrows(AntomException.class,
                    () -> transport.send(gateway() + PAY, "POST", Map.of(), "{}")).name());
        }
    }

    /** The forms of the header that the agent takes all get to the SDK in one that it reads. */
    @Test
    public void formsOfTheSignature() throws GeneralSecurityException {
        for (int i = 0; i < 8; i++) { // another body each time, so that some signature has a plus
            byte[] body = ("{\"n\":" + i + "}").getBytes(StandardCharsets.UTF_8);
            antom.reply = (exchange, s) -> {
                Map<String, String> headers = new LinkedHashMap<>(antom.headers(s.target(), body));
                headers.computeIfPresent("signature", (n, v) -> v.replace("%2B", "+").replace("signature=", "Signature = "));
                FalseAntom.answer(exchange, 200, headers, body);
            };
            assertEquals("{\"n\":" + i + "}", sdk().execute(PAY, "{}"));
        }
    }

    @Test
    public void theAgentRefuses() throws IOException {
        try (ScriptedAgent denying = ScriptedAgent.answering((method, params) -> {
                throw new AntomException(200, "DENIED", ErrorClass.DENIED, "m");
            }); AntomAgent its = denying.client()) {
            SdkTransport transport = new SdkTransport(its, "shop/live");
            assertEquals("DENIED", assertThrows(AntomException.class,
                    () -> transport.send(gateway() + PAY, "POST", Map.of(), "{}")).name());
            assertTrue("nothing was sent", antom.seen.isEmpty());
        }
    }

    @Test
    public void whereItDoesNotSend() {
        SdkTransport transport = new SdkTransport(client, "shop/live");
        for (String url : List.of("http://example.test" + PAY, "ftp://127.0.0.1/", "https://user@example.test/", "https:///a", "/a", "",
                "https://example.test/a#b", "https://exa mple.test/", "http://127.0.0.1.example.test/")) {
            AntomException e = assertThrows(url, AntomException.class, () -> transport.send(url, "POST", Map.of(), "{}"));
            assertEquals("BAD_PARAM url", e.name() + " " + e.field().orElse(""));
        }
        AntomException e = assertThrows(AntomException.class,
                () -> transport.send(gateway() + PAY, "POST", Map.of("Host", "other"), "{}"));
        assertEquals("header", e.field().orElse(""));
        assertTrue("nothing was sent", antom.seen.isEmpty());
    }

    @Test
    public void responsesThatDoNotEndOrAreTooLarge() {
        CountDownLatch end = new CountDownLatch(1);
        antom.reply = (exchange, s) -> {
            exchange.sendResponseHeaders(200, 10);
            exchange.getResponseBody().write(1);
            exchange.getResponseBody().flush();
            try {
                end.await();
            } catch (InterruptedException e) {
                throw new IOException(e);
            }
        };
        SdkTransport impatient = new SdkTransport(client, "shop/live", HttpClient.newHttpClient(), Duration.ofMillis(300));
        AntomException e = assertThrows(AntomException.class, () -> impatient.send(gateway() + PAY, "POST", Map.of(), "{}"));
        assertEquals("GATEWAY: Antom did not answer within 300 ms", e.getMessage());
        end.countDown();
        for (int size : new int[] {1048576, 1048577}) {
            byte[] body = new byte[size];
            antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, antom.headers(s.target(), body), body);
            if (size > 1048576) {
                refused("GATEWAY");
            } else {
                assertEquals(size, new SdkTransport(client, "shop/live").send(gateway() + PAY, "POST", Map.of(), "{}").body().length());
            }
        }
        antom.close();
        refused("GATEWAY");
    }

    @Test
    public void whatIsNoTextCannotReachIt() {
        byte[] latin = {'"', (byte) 0xe9, '"'};
        antom.reply = (exchange, s) -> FalseAntom.answer(exchange, 200, antom.headers(s.target(), latin), latin);
        refused("BAD_PARAM");
    }

    @Test
    public void throwawayKeysAreNew() {
        assertNotEquals(SdkTransport.throwawayKey(), SdkTransport.throwawayKey());
    }

    /** Unlike the SDK's own transport, this one looks at certificates. */
    @Test
    public void certificatesAreChecked() throws Exception {
        Path store = Files.createTempDirectory("antag").resolve("store.p12");
        Process made = new ProcessBuilder(System.getProperty("java.home") + "/bin/keytool", "-genkeypair", "-keyalg", "RSA",
                "-alias", "a", "-dname", "CN=localhost", "-ext", "san=dns:localhost", "-keystore", store.toString(), "-storepass", "passphrase")
                .redirectErrorStream(true).start();
        made.getInputStream().readAllBytes();
        assertEquals(0, made.waitFor());
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Files.newInputStream(store)) {
            keys.load(in, "passphrase".toCharArray());
        }
        Files.delete(store);
        Files.delete(store.getParent());
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(keys, "passphrase".toCharArray());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), null, null);
        HttpsServer server = HttpsServer.create();
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        antom.close();
        antom = new FalseAntom(server);
        String url = "https://localhost:" + antom.port() + PAY;
        SdkTransport strict = new SdkTransport(client, "shop/live");
        AntomException e = assertThrows(AntomException.class, () -> strict.send(url, "POST", Map.of(), "{}"));
        assertTrue(e.getMessage(), e.name().equals("GATEWAY") && e.getMessage().contains("SSLHandshakeException"));
        assertTrue("nothing was sent", antom.seen.isEmpty());

        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted(keys));
        SSLContext trusting = SSLContext.getInstance("TLS");
        trusting.init(null, trust.getTrustManagers(), null);
        HttpClient http = HttpClient.newBuilder().sslContext(trusting).build();
        SdkTransport transport = new SdkTransport(client, "shop/live", http, Duration.ofSeconds(20));
        assertEquals(200, transport.send(url, "POST", Map.of(), "{}").status());
        AntomException other = assertThrows(AntomException.class,
                () -> transport.send(url.replace("localhost", "127.0.0.1"), "POST", Map.of(), "{}"));
        assertEquals("another name than the certificate's", "GATEWAY", other.name());
    }

    private static KeyStore trusted(KeyStore keys) throws GeneralSecurityException, IOException {
        KeyStore out = KeyStore.getInstance("PKCS12");
        out.load(null, null);
        out.setCertificateEntry("a", keys.getCertificate("a"));
        return out;
    }
}
