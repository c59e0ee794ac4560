package antomagent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.junit.Before;
import org.junit.Test;

/** What a connection takes at a time. */
public class RoomTest {
    private static final Deadline LATER = Deadline.in(Duration.ofSeconds(30));
    private final Room room = new Room();

    @Before
    public void small() {
        room.limit(2L, 100L);
    }

    private static boolean isIn(CompletableFuture<Boolean> f) {
        return f.isDone() && f.join();
    }

    @Test
    public void countsRequests() {
        assertTrue(isIn(room.take(1, LATER)));
        assertTrue(isIn(room.take(1, LATER)));
        CompletableFuture<Boolean> third = room.take(1, LATER);
        assertFalse(third.isDone());
        room.give(1);
        assertTrue(isIn(third));
    }

    @Test
    public void countsBytes() {
        assertTrue(isIn(room.take(60, LATER)));
        CompletableFuture<Boolean> over = room.take(41, LATER);
        assertFalse(over.isDone());
        room.give(60);
        assertTrue(isIn(over));
        assertTrue(isIn(room.take(59, LATER)));
    }

    @Test
    public void oneAlwaysFits() {
        CompletableFuture<Boolean> large = room.take(1000, LATER);
        assertTrue(isIn(large));
        CompletableFuture<Boolean> next = room.take(1, LATER);
        assertFalse(next.isDone());
        room.give(1000);
        assertTrue(isIn(next));
    }

    @Test
    public void comesInOrder() {
        assertTrue(isIn(room.take(60, LATER)));
        CompletableFuture<Boolean> large = room.take(90, LATER);
        CompletableFuture<Boolean> small = room.take(1, LATER);
        assertFalse("overtakes", small.isDone());
        room.give(60);
        assertTrue(isIn(large) && isIn(small));
    }

    @Test
    public void whoGivesUpMakesWay() {
        assertTrue(isIn(room.take(60, LATER)));
        CompletableFuture<Boolean> large = room.take(90, Deadline.in(Duration.ofMillis(50)));
        CompletableFuture<Boolean> small = room.take(1, LATER);
        ExecutionException e = assertThrows(ExecutionException.class, large::get);
        assertEquals("TIMEOUT", AntomException.of(e).name());
        assertTrue(small.join());
    }

    @Test
    public void sendsAwayWhenItIsClosed() {
        assertTrue(isIn(room.take(100, LATER)));
        CompletableFuture<Boolean> waits = room.take(1, LATER);
        room.close();
        assertFalse(waits.join());
        assertFalse(room.take(1, LATER).join());
    }
}
