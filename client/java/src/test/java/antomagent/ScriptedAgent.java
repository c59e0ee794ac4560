package antomagent;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;
import org.msgpack.value.Value;

/** An agent by script, in threads of its own, on a socket of its own. Close it to hear what went wrong in a script. */
final class ScriptedAgent implements AutoCloseable {
    /** What it does with its n-th connection, n from 0; hello is answered here. */
    interface Script {
        void run(int n, Connection connection) throws IOException;
    }

    /** What it answers: a result, or an {@link AntomException} thrown, which is sent. */
    interface Answers {
        Object answer(String method, Map<String, Object> params);
    }

    record Asked(int id, String method, Map<String, Object> params) {
    }

    final String path;
    final AtomicInteger connections = new AtomicInteger();
    final List<Asked> asked = Collections.synchronizedList(new ArrayList<>());
    private final Path folder;
    private final ServerSocketChannel server;
    private final Script script;
    private final Map<String, Object> limits;
    private final List<Throwable> wrong = Collections.synchronizedList(new ArrayList<>());
    private final List<SocketChannel> open = Collections.synchronizedList(new ArrayList<>());

    private ScriptedAgent(Map<String, Object> limits, Script script) throws IOException {
        this.limits = limits;
        this.script = script;
        folder = Files.createTempDirectory("antag");
        path = folder.resolve("agent.sock").toString();
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(path), 64);
        thread(this::accept);
    }

    static ScriptedAgent of(Script script) throws IOException {
        return new ScriptedAgent(Map.of(), script);
    }

    static ScriptedAgent withLimits(Map<String, Object> limits, Script script) throws IOException {
        return new ScriptedAgent(limits, script);
    }

    /** One that answers each request at once. */
    static ScriptedAgent answering(Answers answers) throws IOException {
        return of((n, c) -> {
            for (Asked a = c.next(); a != null; a = c.next()) {
                try {
                    c.answer(a, answers.answer(a.method(), a.params()));
                } catch (AntomException e) {
                    c.refuse(a, error(e));
                }
            }
        });
    }

    static Map<String, Object> error(AntomException e) {
        return map("code", e.code(), "name", e.name(), "class", e.errorClass().toString(), "message", e.reason());
    }

    /** Keys and values in turn. */
    static Map<String, Object> map(Object... pairs) {
        Map<String, Object> out = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            out.put((String) pairs[i], pairs[i + 1]);
        }
        return out;
    }

    /** The result of sign_request, with this signature. */
    static Map<String, Object> signed(String uri, String signature) {
        return map("headers", map("Client-Id", "5Y", "Request-Time", "1", "Signature", signature, "Content-Type",
                "application/json; charset=UTF-8"), "uri", uri, "version", 1, "key_version", 3, "record", "soft:1");
    }

    AntomAgent client() {
        return AntomAgent.builder().socket(path).build();
    }

    @Override
    public void close() throws IOException {
        server.close();
        for (SocketChannel s : new ArrayList<>(open)) {
            s.close();
        }
        Files.delete(Path.of(path));
        Files.delete(folder);
        if (!wrong.isEmpty()) {
            throw new AssertionError("in the script", wrong.get(0));
        }
    }

    static Thread thread(Runnable run) {
        Thread thread = new Thread(run);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    private void accept() {
        try {
            while (true) {
                SocketChannel s = server.accept();
                open.add(s);
                int n = connections.getAndIncrement();
                thread(() -> serve(n, s));
            }
        } catch (ClosedChannelException e) {
            // the end
        } catch (IOException e) {
            wrong.add(e);
        }
    }

    private void serve(int n, SocketChannel s) {
        try (s) {
            script.run(n, new Connection(s));
        } catch (IOException e) {
            // the client went, as it may at any time
        } catch (RuntimeException | Error e) {
            wrong.add(e);
        }
    }

    /** A connection, for one thread. */
    final class Connection {
        private final SocketChannel s;

        private Connection(SocketChannel s) {
            this.s = s;
        }

        /** The next request but hello; null at the end. */
        Asked next() throws IOException {
            while (true) {
                byte[] frame;
                try {
                    frame = read(ByteBuffer.wrap(read(4)).getInt());
                } catch (EOFException e) {
                    return null;
                }
                List<Value> parts = MessagePack.newDefaultUnpacker(frame).unpackValue().asArrayValue().list();
                Asked a = new Asked(parts.get(1).asIntegerValue().asInt(), parts.get(2).asStringValue().asString(),
                        plainMap(parts.get(3)));
                if (!a.method().equals("hello")) {
                    asked.add(a);
                    return a;
                }
                answer(a, map("version", 1, "limits", limits));
            }
        }

        void answer(Asked a, Object result) throws IOException {
            say(Arrays.asList(1, a.id(), null, result));
        }

        void refuse(Asked a, Map<String, Object> error) throws IOException {
            say(Arrays.asList(1, a == null ? null : a.id(), error, null));
        }

        void event(String name, Map<String, Object> params) throws IOException {
            say(List.of(2, name, params));
        }

        void say(Object message) throws IOException {
            ByteBuffer all = ByteBuffer.wrap(frame(message));
            while (all.hasRemaining()) {
                s.write(all);
            }
        }

        private byte[] read(int size) throws IOException {
            byte[] out = Channels.newInputStream(s).readNBytes(size);
            if (out.length < size) {
                throw new EOFException();
            }
            return out;
        }
    }

    static byte[] frame(Object message) throws IOException {
        byte[] value = pack(message);
        return ByteBuffer.allocate(4 + value.length).putInt(value.length).put(value).array();
    }

    static byte[] pack(Object value) throws IOException {
        MessageBufferPacker to = MessagePack.newDefaultBufferPacker();
        pack(to, value);
        return to.toByteArray();
    }

    private static void pack(MessageBufferPacker to, Object value) throws IOException {
        if (value == null) {
            to.packNil();
        } else if (value instanceof String text) {
            to.packString(text);
        } else if (value instanceof Boolean b) {
            to.packBoolean(b);
        } else if (value instanceof Number n) {
            to.packLong(n.longValue());
        } else if (value instanceof byte[] bytes) {
            to.packBinaryHeader(bytes.length).writePayload(bytes);
        } else if (value instanceof List<?> items) {
            to.packArrayHeader(items.size());
            for (Object item : items) {
                pack(to, item);
            }
        } else if (value instanceof Map<?, ?> map) {
            to.packMapHeader(map.size());
            for (Map.Entry<?, ?> e : map.entrySet()) {
                pack(to, e.getKey());
                pack(to, e.getValue());
            }
        } else {
            throw new IllegalArgumentException(value.getClass().getName());
        }
    }

    private static Map<String, Object> plainMap(Value value) {
        Map<String, Object> out = new LinkedHashMap<>();
        value.asMapValue().map().forEach((k, v) -> out.put(k.asStringValue().asString(), plain(v)));
        return out;
    }

    static Object plain(Value v) {
        if (v.isStringValue()) {
            return v.asStringValue().asString();
        } else if (v.isBinaryValue()) {
            return v.asBinaryValue().asByteArray();
        } else if (v.isIntegerValue()) {
            return v.asIntegerValue().asLong();
        } else if (v.isArrayValue()) {
            return v.asArrayValue().list().stream().map(ScriptedAgent::plain).toList();
        } else if (v.isMapValue()) {
            return plainMap(v);
        } else if (v.isBooleanValue()) {
            return v.asBooleanValue().getBoolean();
        } else if (v.isFloatValue()) {
            return v.asFloatValue().toDouble();
        }
        throw new IllegalArgumentException(v.toJson());
    }
}
