package antomagent;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.net.http.HttpHeaders;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.Test;

/** What is asked for, in the forms that Java has for it, and the one error. */
public class RequestsTest {
    private static final byte[] NONE = {};

    private static Map<String, List<String>> copied(Map<String, List<String>> headers) {
        return VerifyRequest.of("p", "POST", "/", headers, NONE).headers();
    }

    @Test
    public void headersOfTheHttpClient() {
        HttpHeaders came = HttpHeaders.of(Map.of("Signature", List.of("a"), "X", List.of("1", "2")), (name, value) -> true);
        assertEquals(Map.of("Signature", List.of("a"), "X", List.of("1", "2")), copied(came.map()));
    }

    @Test
    public void headersWithNulls() {
        Map<String, List<String>> came = new LinkedHashMap<>();
        came.put(null, List.of("HTTP/1.1 200 OK"));
        came.put("a", Arrays.asList("1", null));
        came.put("b", null);
        assertEquals(Map.of("a", List.of("1")), copied(came));
        assertEquals(Map.of(), copied(null));
    }

    @Test
    public void singleHeadersStayAsTheyAre() {
        Map<String, String> came = new LinkedHashMap<>();
        came.put("signature", "a");
        came.put("Signature", "b");
        came.put("none", null);
        assertEquals(Map.of("signature", List.of("a"), "Signature", List.of("b"), "none", List.of()),
                VerifyRequest.ofSingle("p", "POST", "/", came, NONE).headers());
    }

    @Test
    public void headersAreTakenAsTheyAreNow() {
        Map<String, List<String>> came = new LinkedHashMap<>();
        VerifyRequest request = VerifyRequest.of("p", "POST", "/", came, NONE);
        came.put("signature", List.of("a"));
        assertEquals(Map.of(), request.headers());
        assertThrows(UnsupportedOperationException.class, () -> request.headers().put("a", List.of()));
    }

    @Test
    public void whatIsRequiredIsNamed() {
        assertEquals("body", assertThrows(NullPointerException.class, () -> SignRequest.of("p", "POST", "/", null)).getMessage());
        assertEquals("uri", assertThrows(NullPointerException.class,
                () -> VerifyRequest.of("p", "POST", null, null, NONE)).getMessage());
    }

    @Test
    public void aTokenIsNotPrinted() {
        Signed signed = new Signed(Map.of("Agent-Token", "secret"), "/", Optional.empty(), 1, 2, "soft:1");
        assertFalse(signed.toString().contains("secret"));
    }

    @Test
    public void classesOfErrors() {
        Object[][] rows = {{null, 104, ErrorClass.CALLER}, {null, 200, ErrorClass.DENIED}, {null, 399, ErrorClass.STATE},
            {null, 400, ErrorClass.VERIFY}, {null, 599, ErrorClass.RETRY}, {null, 600, ErrorClass.INTERNAL},
            {null, 7, ErrorClass.INTERNAL}, {null, -100, ErrorClass.INTERNAL}, {"retry", 100, ErrorClass.RETRY}, {"new", 500, ErrorClass.INTERNAL},
            {"RETRY", 500, ErrorClass.INTERNAL}};
        for (Object[] row : rows) {
            assertEquals(Arrays.toString(row), row[2], ErrorClass.of((String) row[0], (Integer) row[1]));
        }
    }

    @Test
    public void anErrorSaysAllOfIt() {
        AntomException e = AntomException.answered(ScriptedAgent.map("code", 500L, "name", "BUSY", "class", "retry", "message", "m",
                "field", "uri", "retry_after_ms", 25L));
        assertEquals("BUSY: m", e.getMessage());
        assertEquals("500 BUSY retry m uri 25", e.code() + " " + e.name() + " " + e.errorClass() + " " + e.reason() + " "
                + e.field().orElse("") + " " + e.retryAfterMs().orElse(-1));
        assertTrue(e.isWorthRepeating());
        AntomException here = e.here();
        assertEquals(e, here.getCause());
        assertEquals("500 uri 25", here.code() + " " + here.field().orElse("") + " " + here.retryAfterMs().orElse(-1));
    }

    @Test
    public void errorsThatSayNothing() {
        for (Object code : new Object[] {null, "500", true, 1L << 40}) {
            assertEquals("BAD_FRAME", AntomException.answered(ScriptedAgent.map("code", code)).name());
        }
        AntomException e = AntomException.answered(ScriptedAgent.map("code", 499L, "name", 3L, "field", 4L, "retry_after_ms", "5"));
        assertEquals("UNKNOWN: ", e.getMessage());
        assertTrue(e.field().isEmpty() && e.retryAfterMs().isEmpty());
    }
}
