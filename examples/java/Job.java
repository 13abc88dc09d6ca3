// Submits a job, polls until it has ended, prints its results. Java 11 or later:
//   java Job.java http://localhost:8000 order-4711

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class Job {
    static final HttpClient HTTP = HttpClient.newBuilder()
        .version(HttpClient.Version.HTTP_1_1) // the gateway speaks HTTP/1.1
        .connectTimeout(Duration.ofSeconds(5))
        .build();
    static final int TRIES = 20;

    public static void main(String[] args) throws Exception {
        String takt = args[0], order = args[1];
        String rows = "{\"model\": \"iris\", \"reference\": \"" + order + "\", \"inputs\": [[5.1, 3.5, 1.4, 0.2]]}";
        HttpRequest submission = request(takt + "/jobs")
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", order)
            .POST(HttpRequest.BodyPublishers.ofString(rows))
            .build();
        HttpResponse<String> job = send(submission);
        String path = takt + "/jobs/" + field(job.body(), "id");
        while (!field(job.body(), "state").matches("succeeded|failed|canceled")) {
            Thread.sleep(retryAfterMs(job));
            job = send(request(path).build());
        }
        if (!field(job.body(), "state").equals("succeeded")) throw new IllegalStateException(job.body());
        System.out.println(send(request(path + "/results").build()).body());
    }

    static HttpRequest.Builder request(String url) {
        return HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(30));
    }

    /** Sends the request, and retries if the service asks for it or the connection fails. Every call here may be repeated. */
    static HttpResponse<String> send(HttpRequest request) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() < 300) return answer;
                boolean later = answer.statusCode() == 503 || answer.body().contains("idempotency_in_progress");
                if (!later || attempt == TRIES) throw new IllegalStateException(answer.body());
                Thread.sleep(retryAfterMs(answer));
            } catch (java.io.IOException broken) {
                if (attempt == TRIES) throw broken;
                Thread.sleep(1000);
            }
        }
    }

    static long retryAfterMs(HttpResponse<String> answer) {
        return 1000 * answer.headers().firstValueAsLong("Retry-After").orElse(1);
    }

    /** A string field of the first level; use your JSON library instead. */
    static String field(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!found.find()) throw new IllegalStateException(json);
        return found.group(1);
    }
}
