package antomagent;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Map;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/** Requests as bytes. */
final class Packing {
    private static final int DEPTH_MAX = 8;

    private Packing() {
    }

    /** A request as a frame. Null params are left out. errors: BAD_PARAM for what no frame of {@code limit} bytes can carry. */
    static ByteBuffer frame(int id, String method, Map<String, ?> params, int limit) {
        try (MessageBufferPacker to = MessagePack.newDefaultBufferPacker()) {
            to.writePayload(new byte[4]);
            to.packArrayHeader(4).packInt(0).packInt(id);
            text(to, "method", method);
            to.packMapHeader((int) params.values().stream().filter(v -> v != null).count());
            for (Map.Entry<String, ?> param : params.entrySet()) {
                if (param.getValue() != null) {
                    text(to, "params", param.getKey());
                    value(to, param.getKey(), param.getValue(), 2);
                }
            }
            long size = to.getTotalWrittenBytes() - 4;
            if (size > limit) {
                throw AntomException.badParam("body", "the request has " + size + " bytes; at most " + limit + " can be sent");
            }
            return ByteBuffer.wrap(to.toByteArray()).putInt(0, (int) size);
        } catch (IOException e) {
            throw new IllegalStateException("a buffer in memory cannot fail", e);
        }
    }

    private static void value(MessageBufferPacker to, String name, Object v, int depth) throws IOException {
        if (v == null) {
            to.packNil();
        } else if (v instanceof CharSequence text) {
            text(to, name, text);
        } else if (v instanceof byte[] bytes) {
            to.packBinaryHeader(bytes.length).addPayload(bytes);
        } else if (v instanceof Boolean b) {
            to.packBoolean(b);
        } else if (v instanceof Long || v instanceof Integer || v instanceof Short || v instanceof Byte) {
            to.packLong(((Number) v).longValue());
        } else if (v instanceof Double || v instanceof Float) {
            to.packDouble(((Number) v).doubleValue());
        } else if (depth >= DEPTH_MAX) {
            throw AntomException.badParam(name, "cannot be sent: more than " + DEPTH_MAX + " levels, or not a value of MessagePack");
        } else if (v instanceof Collection<?> items) {
            to.packArrayHeader(items.size());
            for (Object item : items) {
                value(to, name, item, depth + 1);
            }
        } else if (v instanceof Map<?, ?> map) {
            to.packMapHeader(map.size());
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                value(to, name, entry.getKey(), depth + 1);
                value(to, name, entry.getValue(), depth + 1);
            }
        } else {
            throw AntomException.badParam(name, "cannot be sent: " + v.getClass().getName() + " is not a value of MessagePack");
        }
    }

    /** Half a surrogate pair is refused: it would be sent, and signed, as a question mark. */
    private static void text(MessageBufferPacker to, String name, CharSequence text) throws IOException {
        ByteBuffer utf8;
        try {
            utf8 = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
        } catch (CharacterCodingException e) {
            throw AntomException.badParam(name, "is not Unicode text: it holds half of a surrogate pair");
        }
        to.packRawStringHeader(utf8.remaining()).writePayload(utf8.array(), utf8.arrayOffset(), utf8.remaining());
    }
}
