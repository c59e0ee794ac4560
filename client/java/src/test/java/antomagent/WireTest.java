package antomagent;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.Test;
import org.msgpack.core.MessagePack;
import org.msgpack.value.Value;

/** Bytes to messages and back. */
public class WireTest {
    private static final int MAX = Splitter.FRAME_MAX;

    private static Object sent(Object value) throws IOException {
        ByteBuffer frame = Packing.frame(7, "m", Map.of("p", value), MAX);
        assertEquals(frame.remaining() - 4, frame.getInt(0));
        Value message = MessagePack.newDefaultUnpacker(frame.array(), 4, frame.remaining() - 4).unpackValue();
        List<?> parts = (List<?>) ScriptedAgent.plain(message);
        assertEquals(Arrays.asList(0L, 7L, "m"), parts.subList(0, 3));
        return ((Map<?, ?>) parts.get(3)).get("p");
    }

    private static AntomException refused(String field, Object value) {
        AntomException e = assertThrows(AntomException.class, () -> Packing.frame(0, "m", Map.of("p", value), MAX));
        assertEquals("BAD_PARAM", e.name());
        assertEquals(field, e.field().orElse(""));
        return e;
    }

    private static Message message(byte[] value) {
        return Unpacking.message(ByteBuffer.wrap(value));
    }

    @Test
    public void theExampleOfTheProtocol() {
        ByteBuffer frame = Packing.frame(1, "health", Map.of(), MAX);
        assertEquals("0000000b940001a66865616c746880", HexFormat.of().formatHex(frame.array()));
    }

    @Test
    public void whatCanBeSent() throws IOException {
        for (Object value : List.of("é余🙂", "", 1, (short) 2, (byte) 3, Long.MIN_VALUE, Long.MAX_VALUE, 1.5, 1.5f, true, false)) {
            Object expected = value instanceof Number n ? value instanceof Double || value instanceof Float ? (Object) n.doubleValue()
                    : n.longValue() : value;
            assertEquals(expected, sent(value));
        }
        for (int size : new int[] {0, 1, 255, 256, 65535, 65536, 1048576}) {
            byte[] bytes = new byte[size];
            new Random(size).nextBytes(bytes);
            assertArrayEquals(bytes, (byte[]) sent(bytes));
        }
        assertEquals(List.of("a", List.of(1L)), sent(List.of("a", List.of(1))));
        assertEquals(Map.of("a", Map.of("b", 2L)), sent(Map.of("a", Map.of("b", 2))));
    }

    @Test
    public void nullParamsAreLeftOut() throws IOException {
        ByteBuffer frame = Packing.frame(0, "m", ScriptedAgent.map("a", null, "b", 1), MAX);
        Value message = MessagePack.newDefaultUnpacker(frame.array(), 4, frame.remaining() - 4).unpackValue();
        assertEquals("[0,0,\"m\",{\"b\":1}]", message.toJson());
    }

    @Test
    public void whatCannotBeSent() {
        refused("p", new Object());
        refused("p", 'c');
        refused("p", "half \ud83d of a pair");
        refused("p", Map.of("k", List.of(new Object())));
        List<Object> endless = new ArrayList<>();
        endless.add(endless);
        refused("p", endless);
        assertTrue(refused("body", new byte[MAX]).reason().contains("at most " + MAX));
    }

    @Test
    public void theLargestFrame() {
        int around = Packing.frame(0, "m", Map.of("p", new byte[65536]), MAX).remaining() - 4 - 65536;
        assertEquals(MAX + 4, Packing.frame(0, "m", Map.of("p", new byte[MAX - around]), MAX).remaining());
        refused("body", new byte[MAX - around + 1]);
    }

    @Test
    public void answersAndEvents() throws IOException {
        Message.Answer good = (Message.Answer) message(ScriptedAgent.pack(Arrays.asList(1, 9, null, Map.of("a", List.of(1, true)))));
        assertEquals(new Message.Answer(9, null, Map.of("a", List.of(1L, true))), good);
        Message.Answer bad = (Message.Answer) message(ScriptedAgent.pack(Arrays.asList(1, null, Map.of("code", 500), null)));
        assertNull(bad.id());
        assertEquals(500, bad.error().code());
        assertEquals(new Message.Event("x", null), message(ScriptedAgent.pack(List.of(2, "x", 3))));
        byte[] huge = HexFormat.of().parseHex("940101c0cfffffffffffffffff");
        assertEquals("18446744073709551615", ((Message.Answer) message(huge)).result().toString());
    }

    @Test
    public void whatIsNoMessage() {
        String[] rows = {"c0", "c1", "80", "90", "9101", "940701c0c0", "9401a161c0c0", "940101a16ec0", "9401cb3ff8000000000000c0c0",
            "930101c0", "93020180", "c0c0", "940101c0d4017f", "940101c0c1", "940101c0c0c0", "940101c0a1ff", "940101c08101c0", "dd7fffffff",
            "ddffffffff", "940101c0df7fffffff", "940101c0c67fffffff", "940101c0db7fffffff", "940101c0dd7fffffff",
            "9401cf0000000100000000c0c0", "940101c0" + "91".repeat(40) + "c0"};
        for (String row : rows) {
            AntomException e = assertThrows(row, AntomException.class, () -> message(HexFormat.of().parseHex(row)));
            assertEquals(row, "BAD_FRAME", e.name());
        }
    }

    @Test
    public void everyPrefixAndManyOthers() throws IOException {
        byte[] whole = ScriptedAgent.pack(Arrays.asList(1, 70000, null, ScriptedAgent.map("headers", Map.of("é", "x".repeat(40)), "n",
                -70000, "b", new byte[300], "l", List.of(1, "two", true))));
        message(whole);
        for (int i = 0; i < whole.length; i++) {
            byte[] part = Arrays.copyOf(whole, i);
            assertEquals("BAD_FRAME", assertThrows(AntomException.class, () -> message(part)).name());
        }
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int i = 0; i < 50000; i++) {
            byte[] other = whole.clone();
            for (int n = random.nextInt(4); n >= 0; n--) {
                other[random.nextInt(60)] = (byte) random.nextInt();
            }
            try {
                message(other);
            } catch (AntomException e) {
                assertEquals("seed " + seed, "BAD_FRAME", e.name());
            }
        }
    }

    @Test
    public void framesInParts() throws IOException {
        List<byte[]> frames = new ArrayList<>();
        for (String name : List.of("a", "b".repeat(200000), "c")) {
            frames.add(ScriptedAgent.frame(List.of(2, name, Map.of())));
        }
        ByteBuffer all = ByteBuffer.allocate(frames.stream().mapToInt(f -> f.length).sum() * 3);
        for (int i = 0; i < 3; i++) {
            frames.forEach(all::put);
        }
        for (int step : new int[] {1, 7, 4096, 1000000}) {
            Splitter splitter = new Splitter();
            StringBuilder names = new StringBuilder();
            for (ByteBuffer in = all.duplicate().flip(); in.hasRemaining();) {
                ByteBuffer space = splitter.space();
                assertTrue(space.hasRemaining());
                int size = Math.min(step, Math.min(in.remaining(), space.remaining()));
                space.put(in.slice(in.position(), size));
                in.position(in.position() + size);
                for (Message m = splitter.next(); m != null; m = splitter.next()) {
                    names.append(((Message.Event) m).name().charAt(0));
                }
            }
            assertEquals("abcabcabc", names.toString());
        }
    }

    @Test
    public void lengthsOfFrames() throws IOException {
        byte[] frame = ScriptedAgent.frame(List.of(2, "a", Map.of()));
        for (int less = 0; less < 2; less++) {
            Splitter splitter = new Splitter();
            splitter.limit(frame.length - 4 - less);
            splitter.space().put(frame);
            if (less == 0) {
                assertTrue(splitter.next() instanceof Message.Event);
            } else {
                assertEquals("BAD_FRAME", assertThrows(AntomException.class, splitter::next).name());
            }
        }
        for (int length : new int[] {0, -1, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            Splitter splitter = new Splitter();
            splitter.space().putInt(length);
            assertEquals("BAD_FRAME", assertThrows(AntomException.class, splitter::next).name());
        }
    }
}
