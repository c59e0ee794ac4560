package antomagent;

import java.nio.ByteBuffer;

/** Bytes as they come into messages. For one thread. */
final class Splitter {
    static final int FRAME_MAX = 1114112; // until hello tells another
    private static final int HEAD = 4;

    private ByteBuffer in = ByteBuffer.allocate(65536); // in writing position
    private int begin; // of what is not taken yet; it ends at the position
    private int limit = FRAME_MAX;

    /** The largest value that is taken, in bytes. */
    void limit(int bytes) {
        limit = bytes;
    }

    /** Where the next bytes go, after {@link #next} has said null; not full. */
    ByteBuffer space() {
        if (begin > 0) {
            in.flip().position(begin);
            in.compact();
            begin = 0;
        }
        if (!in.hasRemaining()) { // a large frame: memory comes with its bytes, not with its length
            in = ByteBuffer.allocate((int) Math.min(2L * in.capacity(), HEAD + (long) in.getInt(0))).put(in.flip());
        }
        return in;
    }

    /** The next message that is whole, or null. errors: BAD_FRAME, after which there is no going on. */
    Message next() {
        int there = in.position() - begin;
        if (there < HEAD) {
            return null;
        }
        int length = in.getInt(begin);
        if (length <= 0 || length > limit) {
            throw AntomException.badFrame("a frame of " + Integer.toUnsignedString(length) + " bytes");
        }
        if (there - HEAD < length) {
            return null;
        }
        Message message = Unpacking.message(in.slice(begin + HEAD, length));
        begin += HEAD + length;
        return message;
    }
}
