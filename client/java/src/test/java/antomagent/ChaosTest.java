package antomagent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import antomagent.ScriptedAgent.Asked;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.Timeout;

/** An agent that answers in any order, drops answers, stops, and goes: each call ends in its own answer or an error, in time. */
public class ChaosTest {
    @Rule
    public final Timeout patience = Timeout.seconds(120);

    private static final Map<String, Object> LIMITS = Map.of("requests_per_connection", 16, "bytes_per_connection", 300000);
    private static final String THREAD = "antom-agent connection";

    private static void serve(ScriptedAgent.Connection c, Random random) throws IOException {
        List<Asked> held = new ArrayList<>();
        for (Asked a = c.next(); a != null; a = c.next()) {
            held.add(a);
            int what = random.nextInt(200);
            if (what == 0) {
                return;
            } else if (what == 1) {
                c.event("draining", Map.of());
            } else if (what == 2) {
                c.refuse(a, Map.of("code", 500, "name", "BUSY", "class", "retry", "retry_after_ms", 5));
                held.remove(a);
            } else if (what == 3) {
                held.remove(a); // never answered
            } else if (what == 4) {
                c.refuse(null, Map.of("code", 504, "name", "DRAINING"));
                return;
            }
            Collections.shuffle(held, random);
            while (held.size() > random.nextInt(3)) {
                Asked next = held.remove(held.size() - 1);
                c.answer(next, ScriptedAgent.signed((String) next.params().get("uri"), "s"));
            }
        }
    }

    @Test
    public void everyCallEnds() throws Exception {
        long seed = System.nanoTime();
        AtomicInteger good = new AtomicInteger();
        List<String> wrong = Collections.synchronizedList(new ArrayList<>());
        try (ScriptedAgent agent = ScriptedAgent.withLimits(LIMITS, (n, c) -> serve(c, new Random(seed + n)));
             AntomAgent client = AntomAgent.builder().socket(agent.path).timeout(Duration.ofMillis(300)).build()) {
            List<Thread> threads = new ArrayList<>();
            for (int t = 0; t < 6; t++) {
                String mine = "/" + t + "-";
                Random random = new Random(seed - t);
                threads.add(ScriptedAgent.thread(() -> run(client, mine, random, good, wrong)));
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertTrue("seed " + seed + ": " + agent.connections, agent.connections.get() > 1);
        }
        assertTrue("seed " + seed + ": " + wrong, wrong.isEmpty());
        assertTrue("seed " + seed + ": " + good, good.get() > 6 * 400 / 2);
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().equals(THREAD)) {
                thread.join(20000);
                assertTrue("a connection is left", !thread.isAlive());
            }
        }
    }

    private static void run(AntomAgent client, String mine, Random random, AtomicInteger good, List<String> wrong) {
        List<CompletableFuture<Signed>> under = new ArrayList<>();
        for (int i = 0; i < 400; i++) {
            byte[] body = new byte[random.nextInt(20) == 0 ? 200000 : 100];
            under.add(client.signRequestAsync(SignRequest.of("shop/live", "POST", mine + i, body)));
            if (under.size() < 8) {
                continue;
            }
            for (int j = 0; j < under.size(); j++) {
                try {
                    assertEquals(mine + (i - under.size() + 1 + j), under.get(j).get().uri());
                    good.incrementAndGet();
                } catch (ExecutionException e) {
                    if (!(e.getCause() instanceof AntomException why) || why.errorClass() != ErrorClass.RETRY) {
                        wrong.add(e.toString());
                    }
                } catch (InterruptedException | AssertionError e) {
                    wrong.add(e.toString());
                }
            }
            under.clear();
        }
    }
}
