// Submits a job, polls until it has ended, prints its results. .NET Framework 4.5 or later, or .NET:
//   csc -r:System.Net.Http.dll Job.cs && Job.exe http://localhost:8000 order-4711

using System;
using System.IO;
using System.Net.Http;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Tasks;

public static class Job
{
    static readonly HttpClient Http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
    const int Tries = 20;

    public static int Main(string[] args)
    {
        Console.WriteLine(Run(args[0], args[1]).GetAwaiter().GetResult());
        return 0;
    }

    static async Task<string> Run(string takt, string order)
    {
        string rows = "{\"model\": \"iris\", \"reference\": \"" + order + "\", \"inputs\": [[5.1, 3.5, 1.4, 0.2]]}";
        Answer job = await Send(() =>
        {
            var submission = new HttpRequestMessage(HttpMethod.Post, takt + "/jobs");
            submission.Headers.Add("Idempotency-Key", order);
            submission.Content = new StringContent(rows, Encoding.UTF8, "application/json");
            return submission;
        });
        string path = takt + "/jobs/" + Field(job.Body, "id");
        while (!Regex.IsMatch(Field(job.Body, "state"), "^(succeeded|failed|canceled)$"))
        {
            await Task.Delay(job.RetryAfter);
            job = await Send(() => new HttpRequestMessage(HttpMethod.Get, path));
        }
        if (Field(job.Body, "state") != "succeeded") throw new InvalidOperationException(job.Body);
        return (await Send(() => new HttpRequestMessage(HttpMethod.Get, path + "/results"))).Body;
    }

    sealed class Answer
    {
        public string Body;
        public TimeSpan RetryAfter;
    }

    /// Sends the request, and retries if the service asks for it or the connection fails. Every call here may be repeated.
    static async Task<Answer> Send(Func<HttpRequestMessage> request)
    {
        for (int attempt = 1; ; attempt++)
        {
            TimeSpan pause = TimeSpan.FromSeconds(1);
            try
            {
                HttpResponseMessage answer = await Http.SendAsync(request());
                string body = await answer.Content.ReadAsStringAsync();
                if (answer.Headers.RetryAfter != null && answer.Headers.RetryAfter.Delta.HasValue)
                    pause = answer.Headers.RetryAfter.Delta.Value;
                if (answer.IsSuccessStatusCode) return new Answer { Body = body, RetryAfter = pause };
                bool later = (int)answer.StatusCode == 503 || body.Contains("idempotency_in_progress");
                if (!later || attempt == Tries) throw new InvalidOperationException(body);
            }
            catch (HttpRequestException)
            {
                if (attempt == Tries) throw;
            }
            await Task.Delay(pause);
        }
    }

    /// A string field of the first level; use your JSON library instead.
    static string Field(string json, string name)
    {
        Match found = Regex.Match(json, "\"" + name + "\":\\s*\"([^\"]*)\"");
        if (!found.Success) throw new InvalidDataException(json);
        return found.Groups[1].Value;
    }
}
