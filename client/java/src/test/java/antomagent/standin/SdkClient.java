package antomagent.standin;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;

/** A client that signs, hands over to its transport, and looks at the response as the SDK does: it takes an unsigned one. */
public abstract class SdkClient {
    private final String gateway;
    private final String merchantPrivateKey;
    private final String antomPublicKey;
    private final String clientId;

    protected SdkClient(String gateway, String merchantPrivateKey, String antomPublicKey, String clientId) {
        this.gateway = gateway;
        this.merchantPrivateKey = merchantPrivateKey;
        this.antomPublicKey = antomPublicKey;
        this.clientId = clientId;
    }

    /** Headers of its user. */
    protected Map<String, String> customHeader() {
        return Map.of();
    }

    public abstract RpcResult sendRequest(String requestUrl, String httpMethod, Map<String, String> header, String reqBody);

    /** The text of the response. */
    public String execute(String path, String body) throws GeneralSecurityException {
        String time = "1700000000000";
        Map<String, String> header = new HashMap<>();
        header.put("Content-Type", "application/json; charset=UTF-8");
        header.put("Request-Time", time);
        header.put("client-id", clientId);
        header.put("Signature", "algorithm=RSA256,keyVersion=1,signature=" + sign(toSign(path, time, body)));
        header.putAll(customHeader());
        RpcResult result = sendRequest(gateway + path, "POST", header, body);
        if (result.getRspCode() != 200) {
            throw new IllegalStateException("status " + result.getRspCode());
        }
        String signature = result.getRspSign();
        String at = result.getResponseTime();
        if (signature == null || signature.isEmpty() || at == null || at.isEmpty()) {
            return result.getRspBody();
        }
        if (!isSigned(toSign(path, at, result.getRspBody()), signature)) {
            throw new IllegalStateException("the signature does not match");
        }
        return result.getRspBody();
    }

    private byte[] toSign(String path, String time, String body) {
        return ("POST " + path + "\n" + clientId + "." + time + "." + body).getBytes(StandardCharsets.UTF_8);
    }

    private String sign(byte[] data) throws GeneralSecurityException {
        PrivateKey key = KeyFactory.getInstance("RSA")
                .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(merchantPrivateKey)));
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initSign(key);
        signature.update(data);
        return URLEncoder.encode(Base64.getEncoder().encodeToString(signature.sign()), StandardCharsets.UTF_8);
    }

    private boolean isSigned(byte[] data, String value) throws GeneralSecurityException {
        PublicKey key = KeyFactory.getInstance("RSA")
                .generatePublic(new X509EncodedKeySpec(Base64.getDecoder().decode(antomPublicKey)));
        Signature signature = Signature.getInstance("SHA256withRSA");
        signature.initVerify(key);
        signature.update(data);
        return signature.verify(Base64.getDecoder().decode(URLDecoder.decode(value, StandardCharsets.UTF_8)));
    }
}
