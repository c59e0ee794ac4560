package antomagent;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The instant at which a call is over, by the monotonic clock. */
record Deadline(long atNanos) {
    private static final Duration MOST = Duration.ofDays(1);

    static Deadline in(Duration timeout) {
        Duration taken = timeout.isNegative() ? Duration.ZERO : timeout.compareTo(MOST) > 0 ? MOST : timeout;
        return new Deadline(System.nanoTime() + taken.toNanos());
    }

    long leftNanos() {
        return atNanos - System.nanoTime();
    }

    /** Whole milliseconds; 0 or less when it has passed. */
    long leftMs() {
        return Math.floorDiv(leftNanos(), 1_000_000);
    }

    /**
     * What {@code future} gives, or TIMEOUT when that takes longer. It needs no thread for each: one of the JDK's does it for
     * all. {@code future} is this call's own, and is completed when the time is over; {@code late} runs then.
     */
    <T> CompletableFuture<T> bound(CompletableFuture<T> future, Runnable late) {
        future.orTimeout(Math.max(leftNanos(), 0), TimeUnit.NANOSECONDS);
        return future.exceptionallyCompose(e -> {
            if (!(AntomException.unwrap(e) instanceof TimeoutException)) {
                return CompletableFuture.failedFuture(e);
            }
            late.run();
            return CompletableFuture.failedFuture(AntomException.timedOut());
        });
    }
}
