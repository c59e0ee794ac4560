import antomagent.AntomAgent;
import antomagent.SignRequest;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.Locale;

/** Signatures by Java, one after the other; see bench.py. */
final class Bench {
    private static final String PAY = "/ams/api/v1/payments/pay";
    private static final byte[] BODY = ("{\"paymentRequestId\":\"" + "x".repeat(277) + "\"}").getBytes(StandardCharsets.UTF_8);

    private interface Sign {
        Object once() throws GeneralSecurityException;
    }

    private Bench() {}

    private static PrivateKey load(String text) throws GeneralSecurityException {
        return KeyFactory.getInstance("RSA").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text)));
    }

    private static Sign byAgent(AntomAgent agent, String profile) {
        return () -> agent.signRequest(SignRequest.of(profile, "POST", PAY, BODY));
    }

    private static Sign inProcess(boolean reads, String text, String clientId) throws GeneralSecurityException {
        PrivateKey kept = load(text);
        return () -> {
            String now = Long.toString(System.currentTimeMillis());
            Signature signature = Signature.getInstance("SHA256withRSA");
            signature.initSign(reads ? load(text) : kept);
            signature.update(("POST " + PAY + "\n" + clientId + "." + now + ".").getBytes(StandardCharsets.UTF_8));
            signature.update(BODY);
            String value = URLEncoder.encode(Base64.getEncoder().encodeToString(signature.sign()), StandardCharsets.UTF_8);
            return "algorithm=RSA256,keyVersion=1,signature=" + value;
        };
    }

    private static void measure(Sign sign, long ms) throws GeneralSecurityException {
        for (long end = System.nanoTime() + ms * 500_000; System.nanoTime() < end; ) {
            sign.once(); // the compiler warms up
        }
        long[] spent = new long[1 << 20];
        int count = 0;
        long begin = System.nanoTime();
        long now = begin;
        while (now - begin < ms * 1_000_000 && count < spent.length) {
            sign.once();
            long then = System.nanoTime();
            spent[count++] = then - now;
            now = then;
        }
        long[] sorted = Arrays.copyOf(spent, count);
        Arrays.sort(sorted);
        System.out.printf(Locale.ROOT, "{\"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f}%n", count * 1e9 / (now - begin), sorted[count / 2] / 1e3,
                          sorted[(int) (count * 99L / 100)] / 1e3);
    }

    public static void main(String[] args) throws Exception {
        long ms = Long.parseLong(args[3]);
        if (args[0].equals("agent")) {
            try (AntomAgent agent = AntomAgent.builder().socket(args[1]).build()) {
                measure(byAgent(agent, args[2]), ms);
            }
        } else {
            measure(inProcess(args[0].equals("parse"), Files.readString(Path.of(args[1])).strip(), args[2]), ms);
        }
    }
}
