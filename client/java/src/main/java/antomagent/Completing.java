package antomagent;

import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Where futures are completed by default. */
final class Completing {
    private static final long IDLE_S = 5;

    /** Where the common pool has one thread only, CompletableFuture itself makes a thread for each task; these are used again. */
    static final Executor DEFAULT = ForkJoinPool.getCommonPoolParallelism() > 1 ? ForkJoinPool.commonPool()
            : new ThreadPoolExecutor(0, Integer.MAX_VALUE, IDLE_S, TimeUnit.SECONDS, new SynchronousQueue<>(), Completing::thread);

    private Completing() {
    }

    private static Thread thread(Runnable run) {
        Thread thread = new Thread(run, "antom-agent future");
        thread.setDaemon(true);
        return thread;
    }
}
