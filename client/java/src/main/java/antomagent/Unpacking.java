package antomagent;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CodingErrorAction;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.msgpack.core.MessageFormat;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessagePackException;
import org.msgpack.core.MessageUnpacker;
import org.msgpack.value.ValueType;

/**
 * Bytes as messages: String, Long (BigInteger beyond it), Double, Boolean, byte[], List and Map with String keys. No number in
 * the bytes makes this allocate more than they could fill.
 */
final class Unpacking {
    private static final MessagePack.UnpackerConfig STRICT =
            new MessagePack.UnpackerConfig().withActionOnMalformedString(CodingErrorAction.REPORT);
    private static final int DEPTH_MAX = 32;
    private static final int ITEMS_MAX = 65536;

    private final MessageUnpacker from;
    private final int size;
    private int items;

    private Unpacking(ByteBuffer value) {
        size = value.remaining();
        from = STRICT.newUnpacker(value.array(), value.arrayOffset() + value.position(), size);
    }

    /** The message that fills these bytes of an array. errors: BAD_FRAME. */
    static Message message(ByteBuffer bytes) {
        Object value;
        try {
            Unpacking unpacking = new Unpacking(bytes);
            value = unpacking.value(1);
            if (unpacking.left() != 0) {
                throw AntomException.badFrame("bytes behind its message");
            }
        } catch (IOException | MessagePackException e) {
            throw AntomException.badFrame("bytes that are no message");
        }
        if (value instanceof List<?> parts) {
            if (parts.size() == 4 && Long.valueOf(1).equals(parts.get(0))) {
                return answer(parts.get(1), parts.get(2), parts.get(3));
            }
            if (parts.size() == 3 && Long.valueOf(2).equals(parts.get(0)) && parts.get(1) instanceof String name) {
                return new Message.Event(name, mapOrNull(parts.get(2)));
            }
        }
        throw AntomException.badFrame("a value that is no message");
    }

    private static Message answer(Object id, Object error, Object result) {
        boolean isId = id == null || (id instanceof Long number && number == number.intValue());
        Map<String, Object> map = mapOrNull(error);
        if (!isId || (error != null && map == null)) {
            throw AntomException.badFrame("a value that is no message");
        }
        return new Message.Answer(id == null ? null : ((Long) id).intValue(), map == null ? null : AntomException.answered(map),
                map == null ? result : null);
    }

    /** Maps have text keys here, as {@link #map} makes no others. */
    @SuppressWarnings("unchecked")
    static Map<String, Object> mapOrNull(Object value) {
        return value instanceof Map<?, ?> ? (Map<String, Object>) value : null;
    }

    private long left() {
        return size - from.getTotalReadBytes();
    }

    private Object value(int depth) throws IOException {
        if (depth > DEPTH_MAX || ++items > ITEMS_MAX) {
            throw AntomException.badFrame("a value with too much in it");
        }
        MessageFormat format = from.getNextFormat();
        switch (format.getValueType()) {
            case NIL:
                from.unpackNil();
                return null;
            case BOOLEAN:
                return from.unpackBoolean();
            case INTEGER:
                return format == MessageFormat.UINT64 ? narrow(from.unpackBigInteger()) : (Object) from.unpackLong();
            case FLOAT:
                return from.unpackDouble();
            case STRING:
                return from.unpackString();
            case BINARY:
                return from.readPayload(fitting(from.unpackBinaryHeader()));
            case ARRAY:
                return list(fitting(from.unpackArrayHeader()), depth);
            case MAP:
                return map(fitting(from.unpackMapHeader()), depth);
            default:
                throw AntomException.badFrame("a value of an unknown type");
        }
    }

    /** Each item has at least one byte. */
    private int fitting(int count) {
        if (count < 0 || count > left()) {
            throw AntomException.badFrame("a value that is cut off");
        }
        return count;
    }

    private static Object narrow(BigInteger number) {
        return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
    }

    private List<Object> list(int count, int depth) throws IOException {
        List<Object> out = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            out.add(value(depth + 1));
        }
        return Collections.unmodifiableList(out);
    }

    private Map<String, Object> map(int count, int depth) throws IOException {
        Map<String, Object> out = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            if (from.getNextFormat().getValueType() != ValueType.STRING) {
                throw AntomException.badFrame("a map whose keys are no texts");
            }
            String key = from.unpackString();
            out.put(key, value(depth + 1));
        }
        return Collections.unmodifiableMap(out);
    }
}
