package antomagent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import antomagent.ScriptedAgent.Asked;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.Timeout;

/** Events, and how they end. */
public class WatchTest {
    @Rule
    public final Timeout patience = Timeout.seconds(60);

    private static final int MANY = 20000;

    @Test
    public void endsWithWhatTheAgentSaid() throws Exception {
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                Asked a = c.next();
                c.answer(a, Map.of("epoch", 3));
                c.event("state", Map.of("state", "locked"));
                c.refuse(null, Map.of("code", 504, "name", "DRAINING"));
            }); AntomAgent client = agent.client(); Watch watch = client.watch()) {
            assertEquals(new AgentEvent("epoch", Map.of("epoch", 3L)), watch.next());
            assertEquals(new AgentEvent("state", Map.of("state", "locked")), watch.next());
            assertEquals("DRAINING", assertThrows(AntomException.class, watch::next).name());
            assertEquals("again", "DRAINING", assertThrows(AntomException.class, watch::next).name());
        }
    }

    /** Nothing is lost and little is held while nobody takes the events. */
    @Test
    public void eventsWaitForWhoeverTakesThem() throws Exception {
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                c.answer(c.next(), Map.of("epoch", 0));
                for (int i = 1; i <= MANY; i++) {
                    c.event("epoch", Map.of("epoch", i));
                }
                c.next();
            }); AntomAgent client = agent.client(); Watch watch = client.watch()) {
            untilItsThreadWaits();
            for (int i = 0; i <= MANY; i++) {
                assertEquals((long) i, watch.next().params().get("epoch"));
            }
        }
    }

    /** The thread of the connection waits for a taker of its events, not for the socket. */
    private static void untilItsThreadWaits() throws InterruptedException {
        while (Thread.getAllStackTraces().keySet().stream().noneMatch(
                t -> t.getName().equals("antom-agent connection") && t.getState() == Thread.State.WAITING)) {
            Thread.sleep(5);
        }
    }

    /** Closed while its connection waits for a taker: that thread ends, too, and with it the connection. */
    @Test
    public void closingEndsBothThreads() throws Exception {
        for (boolean isByClient : new boolean[] {false, true}) {
            CompletableFuture<Boolean> isGone = new CompletableFuture<>();
            try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                    c.answer(c.next(), Map.of("epoch", 0));
                    try {
                        for (int i = 1; i <= 10 * MANY; i++) {
                            c.event("epoch", Map.of("epoch", i));
                        }
                    } finally {
                        isGone.complete(true);
                    }
                })) {
                AntomAgent client = agent.client();
                Watch watch = client.watch();
                untilItsThreadWaits();
                if (isByClient) {
                    client.close();
                }
                assertTrue(!isByClient || isGone.get());
                watch.close();
                watch.close();
                assertTrue(isGone.get());
                AntomException e = assertThrows(AntomException.class, watch::next);
                assertEquals(isByClient ? "RETRY: the client was closed" : "RETRY: the watch was closed", e.getMessage());
                client.close();
            }
        }
    }

    @Test
    public void aThreadThatWaitsIsTold() throws Exception {
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                c.answer(c.next(), Map.of("epoch", 0));
                c.next();
            })) {
            AntomAgent client = agent.client();
            for (boolean isByClient : new boolean[] {false, true}) {
                Watch watch = client.watch();
                watch.next();
                CompletableFuture<String> told = new CompletableFuture<>();
                ScriptedAgent.thread(() -> told.complete(assertThrows(AntomException.class, watch::next).getMessage()));
                if (isByClient) {
                    client.close();
                } else {
                    watch.close();
                }
                assertEquals(isByClient ? "RETRY: the client was closed" : "RETRY: the watch was closed", told.get());
            }
        }
    }

    @Test
    public void interruptsEndOneWait() throws Exception {
        try (ScriptedAgent agent = ScriptedAgent.of((n, c) -> {
                c.answer(c.next(), Map.of("epoch", 0));
                c.next();
            }); AntomAgent client = agent.client(); Watch watch = client.watch()) {
            watch.next();
            Thread.currentThread().interrupt();
            assertEquals("TIMEOUT", assertThrows(AntomException.class, watch::next).name());
            assertTrue(Thread.interrupted());
        }
    }
}
