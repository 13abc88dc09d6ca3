# Submits a CSV file as a job, polls until it has ended, and saves the results. Windows PowerShell 5.1 or PowerShell 7:
#   ./job.ps1 -Takt http://localhost:8000 -File flowers.csv -Order order-4711 -Out results.csv
param(
    [Parameter(Mandatory)] [string] $Takt,
    [Parameter(Mandatory)] [string] $File,
    [Parameter(Mandatory)] [string] $Order,
    [string] $Model = 'iris',
    [string] $Out = 'results.csv'
)
$ErrorActionPreference = 'Stop'
$Tries = 20

# Every call here may be repeated: the Idempotency-Key makes a second submission find the first job.
function Invoke-WithRetry([hashtable] $Request) {
    for ($try = 1; ; $try++) {
        try { return Invoke-WebRequest -UseBasicParsing -TimeoutSec 60 @Request }
        catch {
            $status = 0
            if ($_.Exception.Response) { $status = [int] $_.Exception.Response.StatusCode }
            if ($try -eq $Tries -or $status -notin 0, 409, 429, 503) { throw }
            Start-Sleep -Seconds 1
        }
    }
}

$headers = @{ 'Idempotency-Key' = $Order }
if ($env:TAKT_API_KEY) { $headers['Authorization'] = "Bearer $env:TAKT_API_KEY" }
$job = (Invoke-WithRetry @{
        Uri = "$Takt/jobs?model=$Model&reference=$Order"; Method = 'Post'; InFile = $File; ContentType = 'text/csv'; Headers = $headers
    }).Content | ConvertFrom-Json
while ($job.state -notin 'succeeded', 'failed', 'canceled') {
    Start-Sleep -Seconds 1
    $job = (Invoke-WithRetry @{ Uri = "$Takt/jobs/$($job.id)"; Headers = $headers }).Content | ConvertFrom-Json
}
if ($job.state -ne 'succeeded') { throw "Job $($job.id) is $($job.state): $($job.error.detail)" }
Invoke-WithRetry @{ Uri = "$Takt/jobs/$($job.id)/results?format=csv"; Headers = $headers; OutFile = $Out } | Out-Null
"$($job.id) $($job.rows_succeeded) of $($job.rows_total) rows"
