package antomagent.standin;

/** What a transport gives the SDK. */
public class RpcResult {
    private int rspCode;
    private String rspBody;
    private String responseTime;
    private String rspSign;

    public int getRspCode() {
        return rspCode;
    }

    public void setRspCode(int value) {
        rspCode = value;
    }

    public String getRspBody() {
        return rspBody;
    }

    public void setRspBody(String value) {
        rspBody = value;
    }

    public String getResponseTime() {
        return responseTime;
    }

    public void setResponseTime(String value) {
        responseTime = value;
    }

    public String getRspSign() {
        return rspSign;
    }

    public void setRspSign(String value) {
        rspSign = value;
    }
}
