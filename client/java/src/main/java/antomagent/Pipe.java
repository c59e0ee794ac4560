package antomagent;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.CancelledKeyException;
import java.nio.channels.ClosedSelectorException;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * A socket to the agent. Any thread sends and never waits: what the socket does not take at once is sent by the thread of the
 * pipe, which also connects and reads. The channel is non-blocking, so the interrupt of a thread that sends does not close it
 * under everybody else.
 */
final class Pipe {
    /** Told by the thread of the pipe. */
    interface Listener {
        void came(Message message);

        /** Once, as the last. {@code why} null: the agent closed it, or {@link #close} did. */
        void ended(AntomException why);
    }

    private static final int PART_MAX = 65536; // of a write: the JDK keeps direct memory of this size for each thread

    private final UnixDomainSocketAddress address;
    private final SocketChannel channel;
    private final Selector selector;
    private final Splitter splitter = new Splitter(); // of the thread of the pipe
    private volatile long reads; // written by the thread of the pipe
    private final Deque<ByteBuffer> unsent = new ArrayDeque<>(); // guarded by this, as the next two
    private SelectionKey key; // null until it is connected
    private boolean isBroken;

    private Pipe(UnixDomainSocketAddress address, SocketChannel channel, Selector selector) {
        this.address = address;
        this.channel = channel;
        this.selector = selector;
    }

    /** errors: UNREACHABLE when the process has no descriptors left. */
    static Pipe open(UnixDomainSocketAddress address) {
        try {
            SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
            try {
                return new Pipe(address, channel, Selector.open());
            } catch (IOException e) {
                channel.close();
                throw e;
            }
        } catch (IOException e) {
            throw AntomException.unreachable(address.toString(), e.getMessage());
        }
    }

    /** Connects, then reads until it ends. Once. */
    void start(Listener listener) {
        Thread thread = new Thread(() -> run(listener), "antom-agent connection");
        thread.setDaemon(true);
        thread.start();
    }

    /** How often something came. */
    long reads() {
        return reads;
    }

    /** The largest value that is taken, in bytes; for the thread of the pipe. */
    void limit(int bytes) {
        splitter.limit(bytes);
    }

    /** Takes the frame over. Sent once it is connected; lost without a word when it is closed or the agent reads no more. */
    void send(ByteBuffer frame) {
        synchronized (this) {
            if (!isBroken) {
                unsent.add(frame);
                flush();
            }
        }
    }

    /** May be called by any thread, and again. */
    void close() {
        try {
            channel.close(); // wakes the thread out of connect
        } catch (IOException e) {
            // nothing is left in it that could be lost: every call hears that its connection ended
        }
        selector.wakeup();
    }

    private void run(Listener listener) {
        AntomException why = null;
        try (selector) {
            connect();
            while (read(listener)) {
                selector.select();
            }
        } catch (AntomException e) {
            why = e;
        } catch (IOException | CancelledKeyException | ClosedSelectorException e) {
            // it ended: by the agent, or by close
        } finally {
            close();
            listener.ended(why);
        }
    }

    private void connect() throws IOException {
        try {
            channel.connect(address);
        } catch (IOException e) {
            throw AntomException.unreachable(address.toString(), e.getMessage());
        }
        channel.configureBlocking(false);
        synchronized (this) {
            key = channel.register(selector, SelectionKey.OP_READ);
            flush();
        }
    }

    /** False at the end. */
    private boolean read(Listener listener) throws IOException {
        selector.selectedKeys().clear();
        synchronized (this) {
            flush();
        }
        int size = channel.read(splitter.space());
        if (size > 0) {
            reads++;
            for (Message message = splitter.next(); message != null; message = splitter.next()) {
                listener.came(message);
            }
        }
        return size >= 0;
    }

    /** As much as the socket takes now. Under the lock. */
    private void flush() {
        if (key == null || unsent.isEmpty()) {
            return;
        }
        try {
            while (!unsent.isEmpty() && sendPart(unsent.peek())) {
                if (!unsent.peek().hasRemaining()) {
                    unsent.remove();
                }
            }
            await(unsent.isEmpty() ? SelectionKey.OP_READ : SelectionKey.OP_READ | SelectionKey.OP_WRITE);
        } catch (IOException | CancelledKeyException e) {
            isBroken = true; // the agent may have said why: reading goes on, to the end
            unsent.clear();
        }
    }

    /** False: the socket is full. */
    private boolean sendPart(ByteBuffer frame) throws IOException {
        int end = frame.limit();
        frame.limit(Math.min(end, frame.position() + PART_MAX));
        channel.write(frame);
        boolean isAllOfIt = !frame.hasRemaining();
        frame.limit(end);
        return isAllOfIt;
    }

    private void await(int wanted) {
        if (key.interestOps() != wanted) {
            key.interestOps(wanted);
            selector.wakeup();
        }
    }
}
