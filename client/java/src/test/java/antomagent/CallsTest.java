package antomagent;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import antomagent.ScriptedAgent.Asked;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.Timeout;

/** Calls beside a small agent. What all clients do alike is in the conformance suite. */
public class CallsTest {
    @Rule
    public final Timeout patience = Timeout.seconds(60);

    private static SignRequest request(String uri) {
        return SignRequest.of("shop/live", "POST", uri, uri.getBytes(StandardCharsets.UTF_8));
    }

    private static ScriptedAgent signing() throws IOException {
        return ScriptedAgent.answering((method, params) -> ScriptedAgent.signed((String) params.get("uri"), "s"));
    }

    @Test
    public void whatIsSigned() throws IOException {
        try (ScriptedAgent agent = signing(); AntomAgent client = agent.client()) {
            Signed signed = client.signRequest(request("/a").withTime("12").withMerchant("m").withTrace("t")
                    .withTimeout(Duration.ofSeconds(3)));
            assertEquals("/a 1 3 soft:1", signed.uri() + " " + signed.version() + " " + signed.keyVersion() + " " + signed.record());
            assertTrue(signed.url().isEmpty());
            assertEquals("s", signed.headers().get("Signature"));
            Map<String, Object> params = agent.asked.get(0).params();
            assertEquals("12 m t", params.get("time") + " " + params.get("merchant") + " " + params.get("trace"));
            long left = (Long) params.get("deadline_ms");
            assertTrue("deadline_ms " + left, left > 0 && left <= 3000);
            assertArrayEquals("/a".getBytes(StandardCharsets.UTF_8), (byte[]) params.get("body"));
        }
    }

    @Test
    public void whatIsExplained() throws IOException {
        try (ScriptedAgent agent = ScriptedAgent.answering((method, params) -> Map.of("kind", params.get("kind")));
             AntomAgent client = agent.client()) {
            assertEquals(Map.of("kind", "sign"), client.explain(ExplainRequest.of(request("/a").withTime("12"))));
            assertEquals("12", agent.asked.get(0).params().get("time"));
            VerifyRequest message = VerifyRequest.of("shop/live", "POST", "/", Map.of("signature", List.of("s")), new byte[0]);
            client.explain(ExplainRequest.ofNotification(message.withMaxAge(Duration.ofSeconds(1))));
            Map<String, Object> params = agent.asked.get(1).params();
            assertEquals("notification", params.get("kind"));
            assertEquals(Map.of("signature", List.of("s")), params.get("headers"));
            assertEquals(1000L, params.get("max_age_ms"));
        }
    }

    @Test
    public void health() throws IOException {
        Map<String, Object> profile = ScriptedAgent.map("profile", "shop/live", "sign", "ready", "verify", "LOCKED", "verify_why", "w");
        Map<String, Object> result = ScriptedAgent.map("state", "ready", "profiles", List.of(profile));
        try (ScriptedAgent agent = ScriptedAgent.answering((method, params) -> result);
             AntomAgent client = agent.client()) {
            Health health = client.health();
            assertEquals("ready", health.state());
            assertEquals("w", health.profiles().get(0).verifyWhy().orElse(""));
            assertFalse(health.isTruncated());
        }
    }

    @Test
    public void manyOnOneConnection() throws Exception {
        try (ScriptedAgent agent = signing(); AntomAgent client = agent.client()) {
            List<CompletableFuture<Signed>> all = new ArrayList<>();
            for (int i = 0; i < 500; i++) {
                all.add(client.signRequestAsync(request("/" + i)));
            }
            for (int i = 0; i < 500; i++) {
                assertEquals("/" + i, all.get(i).get().uri());
            }
            List<Thread> threads = new ArrayList<>();
            List<AssertionError> wrong = new ArrayList<>();
            for (int t = 0; t < 8; t++) {
                String mine = "/thread" + t + "-";
                threads.add(ScriptedAgent.thread(() -> {
                    for (int i = 0; i < 100; i++) {
                        String uri = client.signRequest(request(mine + i)).uri();
                        if (!uri.equals(mine + i)) {
                            synchronized (wrong) {
                                wrong.add(new AssertionError(uri));
                            }
                        }
                    }
                }));
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertTrue(wrong.toString(), wrong.isEmpty());
            assertEquals(500 + 800, agent.asked.size());
            assertEquals(1, agent.connections.get());
        }
    }

    /** What hangs on a future does not run on the thread that reads the answers. */
    @Test
    public void aFutureMayMakeCalls() throws Exception {
        try (ScriptedAgent agent = signing(); AntomAgent client = agent.client()) {
            assertEquals("/second", client.signRequestAsync(request("/first"))
                    .thenApply(first -> client.signRequest(request("/second"))).get().uri());
        }
    }

    @Test
    public void futuresAreCompletedByTheExecutor() throws Exception {
        try (ScriptedAgent agent = signing()) {
            AtomicInteger tasks = new AtomicInteger();
            try (AntomAgent client = AntomAgent.builder().socket(agent.path).executor(run -> {
                    tasks.incrementAndGet();
                    ScriptedAgent.thread(run);
                }).build()) {
                assertEquals("/", client.signRequestAsync(request("/")).get().uri());
                assertEquals(1, tasks.get());
            }
            try (AntomAgent client = AntomAgent.builder().socket(agent.path).executor(run -> {
                    throw new RejectedExecutionException("full");
                }).build()) {
                CompletableFuture<Signed> future = client.signRequestAsync(request("/"));
                AntomException e = (AntomException) assertThrows(ExecutionException.class, future::get).getCause();
                assertEquals("INTERNAL", e.name());
                assertEquals("/", client.signRequest(request("/")).uri());
            }
        }
    }

    @Test
    public void aResultOfAnotherFormEndsAFutureToo() throws Exception {
        try (ScriptedAgent agent = ScriptedAgent.answering((method, params) -> Map.of()); AntomAgent client = agent.client()) {
            CompletableFuture<Signed> future = client.signRequestAsync(request("/"));
            assertEquals("BAD_FRAME", ((AntomException) assertThrows(ExecutionException.class, future::get).getCause()).name());
        }
    }

    @Test
    public void bothFormsFailAlike() throws IOException {
        AntomException said = new AntomException(200, "DENIED", ErrorClass.DENIED, "m");
        try (ScriptedAgent agent = ScriptedAgent.answering((method, params) -> {
                throw said;
            }); AntomAgent client = agent.client()) {
            AntomException thrown = assertThrows(AntomException.class, () -> client.signRequest(request("/")));
            assertEquals(200, thrown.code());
            assertEquals("its own stack", "here", thrown.getStackTrace()[0].getMethodName());
            CompletableFuture<Signed> future = client.signRequestAsync(request("/"));
            assertEquals(200, ((AntomException) assertThrows(ExecutionException.class, future::get).getCause()).code());
            assertTrue(future.handle((v, e) -> e instanceof AntomException).join());
        }
    }

    /** An interrupt ends the wait of its thread, and nothing that others share. */
    @Test
    public void interrupts() throws Exception {
        CountDownLatch isAsked = new CountDownLatch(1);
        CountDownLatch go = new CountDownLatch(1);
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                for (Asked a = c.next(); a != null; a = c.next()) {
                    if (a.params().get("uri").equals("/slow")) {
                        isAsked.countDown();
                        await(go);
                    }
                    c.answer(a, ScriptedAgent.signed((String) a.params().get("uri"), "s"));
                }
            }); AntomAgent client = agent.client()) {
            CompletableFuture<Boolean> wasInterrupted = new CompletableFuture<>();
            Thread thread = ScriptedAgent.thread(() -> {
                AntomException e = assertThrows(AntomException.class, () -> client.signRequest(request("/slow")));
                wasInterrupted.complete(Thread.currentThread().isInterrupted() && e.code() == 506);
                client.signRequestAsync(request("/sent by an interrupted thread"));
            });
            isAsked.await();
            thread.interrupt();
            assertTrue(wasInterrupted.get());
            thread.join();
            go.countDown();
            assertEquals("/then", client.signRequest(request("/then")).uri());
            assertEquals(3, agent.asked.size());
            assertEquals(1, agent.connections.get());
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Neither form waits for an agent that does not read. */
    @Test
    public void anAgentThatDoesNotRead() throws Exception {
        CountDownLatch end = new CountDownLatch(1);
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                c.next();
                await(end);
            }); AntomAgent client = agent.client()) {
            byte[] large = new byte[1000000];
            SignRequest request = SignRequest.of("shop/live", "POST", "/", large).withTimeout(Duration.ofMillis(2000));
            client.signRequestAsync(SignRequest.of("shop/live", "POST", "/", new byte[0])); // so that it is connected
            long begin = System.nanoTime();
            List<CompletableFuture<Signed>> all = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                all.add(client.signRequestAsync(request));
            }
            assertTrue("it waited", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin) < 1800);
            for (CompletableFuture<Signed> one : all) {
                AntomException e = (AntomException) assertThrows(ExecutionException.class, one::get).getCause();
                assertTrue(e.name(), e.name().equals("TIMEOUT") || e.name().equals("RETRY"));
            }
            end.countDown();
        }
    }

    @Test
    public void closingEndsWhatIsUnderWay() throws Exception {
        CountDownLatch isAsked = new CountDownLatch(1);
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                for (Asked a = c.next(); a != null; a = c.next()) {
                    isAsked.countDown();
                }
            })) {
            AntomAgent client = agent.client();
            CompletableFuture<Signed> future = client.signRequestAsync(request("/"));
            isAsked.await();
            client.close();
            client.close();
            AntomException e = (AntomException) assertThrows(ExecutionException.class, future::get).getCause();
            assertEquals("RETRY: the client was closed", e.getMessage());
            assertEquals("RETRY", assertThrows(AntomException.class, () -> client.signRequest(request("/"))).name());
            assertEquals("RETRY", assertThrows(AntomException.class, client::watch).name());
            assertEquals("none was made anew", 1, agent.connections.get());
        }
    }

    /** What waits for room on a connection that stops was not seen by the agent: the next connection gets it. */
    @Test
    public void waitersGoToTheNextConnection() throws Exception {
        CountDownLatch isFull = new CountDownLatch(1);
        try (ScriptedAgent agent = ScriptedAgent.withLimits(Map.of("requests_per_connection", 1), (n, c) -> {
                for (Asked a = c.next(); a != null; a = c.next()) {
                    if (n == 0) {
                        await(isFull);
                        c.event("draining", Map.of());
                    }
                    c.answer(a, ScriptedAgent.signed((String) a.params().get("uri"), "s" + n));
                }
            }); AntomAgent client = agent.client()) {
            List<CompletableFuture<Signed>> all = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                all.add(client.signRequestAsync(request("/" + i)));
            }
            isFull.countDown();
            int ofTheFirst = 0;
            for (int i = 0; i < 5; i++) {
                Signed signed = all.get(i).get();
                assertEquals("/" + i, signed.uri());
                ofTheFirst += signed.headers().get("Signature").equals("s0") ? 1 : 0;
            }
            assertEquals(1, ofTheFirst);
            assertEquals(5, agent.asked.size());
            assertEquals(2, agent.connections.get());
        }
    }

    /** The same when it is lost: whoever only waited for it still has its repetition. */
    @Test
    public void waitersOfALostConnectionHaveLostNothing() throws Exception {
        CountDownLatch isFull = new CountDownLatch(1);
        try (ScriptedAgent agent = ScriptedAgent.withLimits(Map.of("requests_per_connection", 1), (n, c) -> {
                for (Asked a = c.next(); a != null; a = c.next()) {
                    if (n < 2 && !a.params().get("uri").equals("/connects")) {
                        await(isFull);
                        return;
                    }
                    c.answer(a, ScriptedAgent.signed((String) a.params().get("uri"), "s"));
                }
            }); AntomAgent client = agent.client()) {
            client.signRequest(request("/connects"));
            client.signRequestAsync(request("/lost"));
            CompletableFuture<Signed> waits = client.signRequestAsync(request("/waits"));
            isFull.countDown();
            assertEquals("/waits", waits.get().uri());
            assertEquals(3, agent.connections.get());
        }
    }

    @Test
    public void theTimeIsOverBeforeItBegins() throws IOException {
        try (ScriptedAgent agent = signing(); AntomAgent client = agent.client()) {
            for (Duration none : List.of(Duration.ZERO, Duration.ofSeconds(Long.MIN_VALUE))) {
                SignRequest late = request("/").withTimeout(none);
                assertEquals("TIMEOUT", assertThrows(AntomException.class, () -> client.signRequest(late)).name());
            }
            assertEquals("/", client.signRequest(request("/").withTimeout(Duration.ofSeconds(Long.MAX_VALUE))).uri());
        }
    }

    @Test
    public void pathsOfSockets() {
        assertEquals("path", assertThrows(AntomException.class, () -> AntomAgent.builder().socket("/" + "x".repeat(107)).build())
                .field().orElse(""));
        assertEquals("path", assertThrows(AntomException.class, () -> AntomAgent.builder().socket("/a\0b").build()).field().orElse(""));
        try (AntomAgent longest = AntomAgent.builder().socket("/" + "x".repeat(106)).build()) {
            assertEquals("UNREACHABLE", assertThrows(AntomException.class, longest::health).name());
        }
    }

    @Test
    public void whatCannotBeSentAsksNobody() throws IOException {
        try (ScriptedAgent agent = signing(); AntomAgent client = agent.client()) {
            AntomException e = assertThrows(AntomException.class, () -> client.call("health", Map.of("a", new Object()), null));
            assertEquals("BAD_PARAM a", e.name() + " " + e.field().orElse(""));
            assertEquals(0, agent.asked.size());
            assertEquals("/", client.signRequest(request("/")).uri());
            assertEquals(1, agent.connections.get());
        }
        try (ScriptedAgent agent = signing();
             AntomAgent client = AntomAgent.builder().socket(agent.path).name("half \ud83d").build()) {
            assertEquals("client", assertThrows(AntomException.class, client::health).field().orElse(""));
        }
    }

    @Test
    public void anErrorOfItsOwnIsNoAnswer() {
        Error bug = new AssertionError("x");
        AntomException e = AntomException.of(new ExecutionException(bug));
        assertEquals("INTERNAL", e.name());
        assertSame(bug, e.getCause());
    }
}
