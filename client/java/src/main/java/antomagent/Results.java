package antomagent;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Results and events from what an answer holds. What is missing or of another type is no result: BAD_FRAME. */
final class Results {
    private static final List<String> HEADERS = List.of("Client-Id", "Request-Time", "Signature", "Content-Type");
    private static final Map<String, Map<String, Class<?>>> EVENTS = Map.of(
            "epoch", Map.of("epoch", Long.class), "profile", Map.of("profile", String.class, "sign", String.class),
            "state", Map.of("state", String.class), "lagged", Map.of("epoch", Long.class), "draining", Map.of());

    private Results() {
    }

    static Map<String, Object> map(Object result) {
        Map<String, Object> map = Unpacking.mapOrNull(result);
        if (map == null) {
            throw AntomException.badFrame("a result that is no map");
        }
        return map;
    }

    static Signed signed(Object result) {
        Map<String, Object> map = map(result);
        return new Signed(headers(Unpacking.mapOrNull(map.get("headers"))), text(map, "uri"), optional(map, "url"),
                integer(map, "version"), integer(map, "key_version"), text(map, "record"));
    }

    static Verified verified(Object result) {
        Map<String, Object> map = map(result);
        return new Verified(integer(map, "version"), text(map, "time"), need(map, "age_ms", Long.class));
    }

    static Health health(Object result) {
        Map<String, Object> map = map(result);
        List<Health.Profile> profiles = new ArrayList<>();
        if (map.get("profiles") instanceof List<?> items) {
            for (Object item : items) {
                Map<String, Object> p = map(item);
                profiles.add(new Health.Profile(text(p, "profile"), text(p, "sign"), optional(p, "sign_why"), text(p, "verify"),
                        optional(p, "verify_why")));
            }
        }
        return new Health(text(map, "state"), optional(map, "reason"), Collections.unmodifiableList(profiles),
                Boolean.TRUE.equals(map.get("truncated")));
    }

    /** The epoch that the answer to watch names, as the first event. */
    static AgentEvent firstEvent(Object result) {
        return new AgentEvent("epoch", Map.of("epoch", need(map(result), "epoch", Long.class)));
    }

    /** Null: of a name, or in a form, that this version does not know. */
    static AgentEvent event(Message.Event e) {
        Map<String, Class<?>> wanted = EVENTS.get(e.name());
        Map<String, Object> params = e.params();
        if (wanted == null || params == null
                || !wanted.entrySet().stream().allMatch(w -> w.getValue().isInstance(params.get(w.getKey())))) {
            return null;
        }
        boolean isSigning = e.name().equals("profile") && "ready".equals(params.get("sign"));
        if (isSigning && !(params.get("version") instanceof Long && params.get("key_version") instanceof Long)) {
            return null;
        }
        return new AgentEvent(e.name(), params);
    }

    private static Map<String, String> headers(Map<String, Object> given) {
        if (given == null) {
            throw AntomException.badFrame("a result without headers");
        }
        Map<String, String> out = new LinkedHashMap<>();
        given.forEach((name, value) -> {
            if (!(value instanceof String text)) {
                throw AntomException.badFrame("a header that is no text");
            }
            out.put(name, text);
        });
        for (String name : HEADERS) {
            if (out.getOrDefault(name, "").isEmpty()) {
                throw AntomException.badFrame("a result without the header " + name);
            }
        }
        return Collections.unmodifiableMap(out);
    }

    private static <T> T need(Map<String, Object> map, String key, Class<T> type) {
        Object value = map.get(key);
        if (!type.isInstance(value)) {
            throw AntomException.badFrame("a result without " + key);
        }
        return type.cast(value);
    }

    private static String text(Map<String, Object> map, String key) {
        return need(map, key, String.class);
    }

    private static int integer(Map<String, Object> map, String key) {
        long value = need(map, key, Long.class);
        if (value != (int) value) {
            throw AntomException.badFrame("a result whose " + key + " is too large");
        }
        return (int) value;
    }

    private static Optional<String> optional(Map<String, Object> map, String key) {
        return map.get(key) instanceof String text ? Optional.of(text) : Optional.empty();
    }
}
