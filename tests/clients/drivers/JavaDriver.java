import antomagent.AgentEvent;
import antomagent.AntomAgent;
import antomagent.AntomException;
import antomagent.SignRequest;
import antomagent.Signed;
import antomagent.Verified;
import antomagent.VerifyRequest;
import antomagent.Watch;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/** Driver of the Java client. Single calls use the blocking form, those of `many` the other. Protocol: tests/clients/README.md. */
public final class JavaDriver {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.US_ASCII);
    private static AntomAgent agent;

    public static void main(String[] args) throws IOException, InterruptedException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Map<String, Object> c = Json.map(Json.read(line));
            try {
                say(ok(answer(c)));
            } catch (AntomException e) {
                say(failed(e));
            }
        }
        if (agent != null) {
            agent.close();
        }
    }

    private static Object answer(Map<String, Object> c) throws InterruptedException {
        switch (text(c, "op")) {
            case "open":
                agent = AntomAgent.builder().socket(text(c, "socket")).name("driver 1").timeout(ms(c, "timeout_ms")).build();
                return Map.of();
            case "many":
                return many((List<?>) c.get("calls"));
            case "watch":
                return watch((Long) c.get("count"));
            case "health":
                return Map.of("state", (c.containsKey("deadline_ms") ? agent.health(ms(c, "deadline_ms")) : agent.health()).state());
            case "sign":
                return shape(agent.signRequest(signing(c)));
            case "verify_response":
                return shape(agent.verifyResponse(verifying(c)));
            case "verify_notification":
                return shape(agent.verifyNotification(verifying(c)));
            default:
                throw new IllegalArgumentException("op " + c.get("op"));
        }
    }

    private static List<Object> many(List<?> calls) throws InterruptedException {
        List<CompletableFuture<Map<String, Object>>> all = new ArrayList<>();
        for (Object call : calls) {
            all.add(begin(Json.map(call)));
        }
        List<Object> out = new ArrayList<>();
        for (CompletableFuture<Map<String, Object>> one : all) {
            try {
                out.add(ok(one.get()));
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof AntomException why)) {
                    throw new IllegalStateException(e);
                }
                out.add(failed(why));
            }
        }
        return out;
    }

    private static CompletableFuture<Map<String, Object>> begin(Map<String, Object> c) {
        switch (text(c, "op")) {
            case "health":
                return agent.healthAsync().thenApply(h -> Map.of("state", h.state()));
            case "sign":
                return agent.signRequestAsync(signing(c)).thenApply(JavaDriver::shape);
            case "verify_response":
                return agent.verifyResponseAsync(verifying(c)).thenApply(JavaDriver::shape);
            case "verify_notification":
                return agent.verifyNotificationAsync(verifying(c)).thenApply(JavaDriver::shape);
            default:
                throw new IllegalArgumentException("op " + c.get("op"));
        }
    }

    private static Map<String, Object> watch(long count) {
        try (Watch watch = agent.watch()) {
            for (long i = 0; i < count; i++) {
                AgentEvent event = watch.next();
                say(Map.of("event", event.name(), "params", event.params()));
            }
        }
        return Map.of();
    }

    // ---- arguments and results

    private static SignRequest signing(Map<String, Object> c) {
        return new SignRequest(text(c, "profile"), text(c, "method"), text(c, "uri"), body(c), text(c, "time"), text(c, "merchant"),
                text(c, "trace"), ms(c, "deadline_ms"));
    }

    private static VerifyRequest verifying(Map<String, Object> c) {
        Map<String, List<String>> headers = new LinkedHashMap<>();
        Json.map(c.get("headers")).forEach((name, value) -> {
            List<String> texts = new ArrayList<>();
            for (Object one : value instanceof List<?> several ? several : List.of(value)) {
                texts.add((String) one);
            }
            headers.put(name, texts);
        });
        return new VerifyRequest(text(c, "profile"), text(c, "method"), text(c, "uri"), headers, body(c), ms(c, "max_age_ms"),
                text(c, "trace"), ms(c, "deadline_ms"));
    }

    private static String text(Map<String, Object> c, String key) {
        return (String) c.get(key);
    }

    private static Duration ms(Map<String, Object> c, String key) {
        return c.get(key) == null ? null : Duration.ofMillis((Long) c.get(key));
    }

    private static byte[] body(Map<String, Object> c) {
        return Base64.getDecoder().decode(text(c, "body"));
    }

    private static Map<String, Object> shape(Signed s) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("headers", s.headers());
        out.put("uri", s.uri());
        out.put("url", s.url().orElse(null));
        out.put("version", s.version());
        out.put("key_version", s.keyVersion());
        out.put("record", s.record());
        return out;
    }

    private static Map<String, Object> shape(Verified v) {
        return Map.of("version", v.version(), "time", v.time(), "age_ms", v.ageMs());
    }

    private static Map<String, Object> ok(Object result) {
        return Map.of("ok", result);
    }

    private static Map<String, Object> failed(AntomException e) {
        Map<String, Object> error = new LinkedHashMap<>();
        error.put("code", e.code());
        error.put("name", e.name());
        error.put("class", e.errorClass().toString());
        error.put("message", e.reason());
        error.put("field", e.field().orElse(null));
        error.put("retry_after_ms", e.retryAfterMs().isPresent() ? e.retryAfterMs().getAsLong() : null);
        return Map.of("error", error);
    }

    private static void say(Object line) {
        OUT.println(Json.write(line));
    }

    /** JSON: String, Long, Double, Boolean, List, Map, null. What is not exactly JSON is an IllegalArgumentException. */
    private static final class Json {
        private final String text;
        private int at;

        private Json(String text) {
            this.text = text;
        }

        static Object read(String text) {
            Json json = new Json(text);
            Object value = json.value();
            json.blanks();
            if (json.at != text.length()) {
                throw json.wrong();
            }
            return value;
        }

        @SuppressWarnings("unchecked")
        static Map<String, Object> map(Object value) {
            return (Map<String, Object>) value;
        }

        private IllegalArgumentException wrong() {
            return new IllegalArgumentException("no JSON at character " + at);
        }

        private void blanks() {
            while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
        }

        private char peek() {
            blanks();
            if (at >= text.length()) {
                throw wrong();
            }
            return text.charAt(at);
        }

        private void expect(String word) {
            if (!text.startsWith(word, at)) {
                throw wrong();
            }
            at += word.length();
        }

        private Object value() {
            switch (peek()) {
                case '{':
                    return object();
                case '[':
                    return array();
                case '"':
                    return string();
                case 't':
                    expect("true");
                    return true;
                case 'f':
                    expect("false");
                    return false;
                case 'n':
                    expect("null");
                    return null;
                default:
                    return number();
            }
        }

        /** After an item: is there another one? */
        private boolean more(char close) {
            char next = peek();
            if (next != ',' && next != close) {
                throw wrong();
            }
            at++;
            return next == ',';
        }

        private Map<String, Object> object() {
            Map<String, Object> out = new LinkedHashMap<>();
            at++;
            if (peek() == '}') {
                at++;
                return out;
            }
            do {
                if (peek() != '"') {
                    throw wrong();
                }
                String key = string();
                peek();
                expect(":");
                out.put(key, value());
            } while (more('}'));
            return out;
        }

        private List<Object> array() {
            List<Object> out = new ArrayList<>();
            at++;
            if (peek() == ']') {
                at++;
                return out;
            }
            do {
                out.add(value());
            } while (more(']'));
            return out;
        }

        private String string() {
            StringBuilder out = new StringBuilder();
            for (at++; at < text.length(); at++) {
                char c = text.charAt(at);
                if (c == '"') {
                    at++;
                    return out.toString();
                }
                if (c < ' ') {
                    throw wrong();
                }
                out.append(c == '\\' ? escaped() : c);
            }
            throw wrong();
        }

        /** At the backslash; leaves off at the last character that belongs to it. */
        private char escaped() {
            at++;
            int which = at < text.length() ? "\"\\/bfnrt".indexOf(text.charAt(at)) : -1;
            if (which >= 0) {
                return "\"\\/\b\f\n\r\t".charAt(which);
            }
            if (at + 4 >= text.length() || !text.substring(at, at + 5).matches("u[0-9a-fA-F]{4}")) {
                throw wrong();
            }
            at += 4;
            return (char) Integer.parseInt(text.substring(at - 3, at + 1), 16);
        }

        private Object number() {
            int begin = at;
            while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            String digits = text.substring(begin, at);
            if (!digits.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")) {
                throw wrong();
            }
            return digits.matches("-?[0-9]+") ? (Object) Long.parseLong(digits) : Double.parseDouble(digits);
        }

        static String write(Object value) {
            StringBuilder out = new StringBuilder();
            write(out, value);
            return out.toString();
        }

        private static void write(StringBuilder out, Object value) {
            if (value instanceof Map<?, ?> map) {
                String between = "{";
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    write(out.append(between), entry.getKey());
                    write(out.append(':'), entry.getValue());
                    between = ",";
                }
                out.append(map.isEmpty() ? "{}" : "}");
            } else if (value instanceof List<?> list) {
                String between = "[";
                for (Object item : list) {
                    write(out.append(between), item);
                    between = ",";
                }
                out.append(list.isEmpty() ? "[]" : "]");
            } else if (value instanceof String string) {
                quote(out, string);
            } else if (value == null || value instanceof Number || value instanceof Boolean) {
                out.append(value);
            } else {
                throw new IllegalArgumentException("no JSON: " + value.getClass());
            }
        }

        private static void quote(StringBuilder out, String string) {
            out.append('"');
            for (char c : string.toCharArray()) {
                if (c == '"' || c == '\\') {
                    out.append('\\').append(c);
                } else if (c < ' ' || c > '~') {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        }
    }
}
