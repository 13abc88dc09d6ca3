// The conditions of `GET /status` in Korean: message and remedy by code. In English, those of the service are shown.

import { known, language, t } from "./words.js";

const KOREAN = {
  redis_down: [
    "Redis가 응답하지 않습니다: {reason}. 접수와 처리가 모두 멈췄습니다.",
    "Redis를 시작하거나 호스트, 비밀번호, 네트워크를 확인하세요. 접수된 작업은 보존됩니다.",
  ],
  redis_refuses_writes: [
    "Redis가 쓰기를 거부합니다: {reason}. 작업을 접수하지 않습니다.",
    "Redis의 메모리나 디스크를 비우거나 maxmemory를 늘리거나 주 서버에 연결하세요.",
  ],
  redis_memory_nearly_full: [
    "Redis가 maxmemory의 {percent} %를 사용 중입니다. 가득 차면 접수가 멈춥니다.",
    "maxmemory를 늘리거나 작업이 끝나기를 기다리거나 작업을 삭제하세요 (takt delete ID).",
  ],
  redis_log_fails: [
    "Redis가 추가 전용 파일을 기록하지 못합니다.",
    "Redis 디스크의 공간을 확보하세요. 그때까지 접수하지 않습니다.",
  ],
  redis_not_persistent: [
    "Redis가 접수된 작업을 잃을 수 있습니다: {reason}.",
    "appendonly yes, maxmemory-policy noeviction으로 설정하세요.",
  ],
  redis_slow: [
    "Redis의 짧은 명령이 {milliseconds} ms 걸립니다.",
    "이 Redis의 다른 사용자, 디스크(appendfsync), 네트워크를 확인하세요.",
  ],
  gateway_silent: [
    "게이트웨이 {subject}이(가) 응답하지 않습니다.",
    "로그를 확인하고, 멈췄으면 다시 시작하세요.",
  ],
  gateway_stopping: [
    "게이트웨이 {subject}을(를) 정지하는 중입니다.",
    "의도한 정지라면 조치가 필요 없습니다. 아니면 로그를 확인하세요.",
  ],
  storage_full: [
    "작업 데이터 저장 공간이 없습니다 ({limit} 중 {free} 남음). 작업이 거부됩니다.",
    "끝난 작업을 삭제하거나 TAKT_JOB_RETENTION_S를 줄이거나 공간을 늘리세요 (TAKT_MAX_STORED_BYTES, 디스크).",
  ],
  storage_nearly_full: [
    "작업 데이터 저장 공간이 {limit} 중 {free} 남았습니다.",
    "끝난 작업을 삭제하거나 TAKT_JOB_RETENTION_S를 줄이거나 공간을 늘리세요 (TAKT_MAX_STORED_BYTES, 디스크).",
  ],
  storage_away: [
    "작업 데이터 저장소가 응답하지 않습니다: {reason}",
    "디스크, 권한, 네트워크를 확인하세요.",
  ],
  objects_damaged: [
    "최근 하루 동안 변경되거나 사라진 데이터 {count}건이 발견되었습니다. 마지막 작업: {job}.",
    "저장소의 디스크를 확인하세요. 워커 로그(object_not_intact)에 이름이 있습니다.",
  ],
  no_worker: [
    "연결된 워커가 없어 예측이 멈췄습니다.{last}",
    "워커를 시작하세요: python -m worker run 또는 takt up. 종료 이유는 로그에 있습니다.",
  ],
  workers_drained: [
    "워커 {count}대가 모두 비워졌거나 정지 중이어서 예측이 멈췄습니다.",
    "takt workers undrain --all을 실행하거나 워커를 시작하세요.",
  ],
  workers_starting: [
    "워커가 모델을 로드 중이며 아직 가동 중인 워커가 없습니다.",
    "기다리세요. 오래 걸리면 워커 로그를 확인하세요.",
  ],
  worker_silent: [
    "{subject}의 워커 {count}대가 {seconds}초 동안 신호가 없습니다.",
    "워커의 장비와 로그를 확인하세요. 작업은 다른 워커가 이어받습니다.",
  ],
  worker_restarted: [
    "{subject}의 {process}이(가) 다시 시작되었습니다: {reason}.",
    "반복되면 로그를 확인하세요.",
  ],
  worker_crash_loop: [
    "{subject}의 워커가 5분 동안 {count}번 다시 시작되었습니다. 마지막: {reason}.",
    "워커 로그를 확인하세요: docs/troubleshooting.md의 'A worker restarts repeatedly'.",
  ],
  supervisor_impaired: [
    "슈퍼바이저 {subject}이(가) 워커를 다시 시작할 수 없습니다: {reason}.",
    "재개하거나 다시 시작하세요: kill -CONT PID 또는 서비스 관리자. 워커는 계속 가동됩니다.",
  ],
  worker_stuck: [
    "워커 {subject}이(가) {seconds}초 동안 {work}에서 진행이 없습니다.",
    "TAKT_BATCH_LIMIT_S가 지나면 워커가 종료됩니다. 느린 모델은 배치를 줄이세요.",
  ],
  clock_off: [
    "{subject}의 시계가 Redis와 {seconds}초 다릅니다.",
    "NTP로 맞추세요. Takt는 Redis의 시계를 쓰므로 로그 시각이 맞지 않습니다.",
  ],
  default_model_not_served: [
    "기본 모델 {subject}이(가) 로드된 워커가 없어 요청이 거부됩니다.",
    "이 모델의 워커를 시작하거나 TAKT_DEFAULT_MODEL을 설정하세요.",
  ],
  model_without_worker: [
    "{subject}에 요청이 있지만 로드된 워커가 없습니다. {rows}행 대기 중.",
    "takt deploy NAME VERSION --canary 0으로 요청 없이 로드하세요. 워커의 TAKT_MODELS에 버전이 있으면 추가하세요. 로드에 실패했다면 takt models verify NAME을 실행하세요.",
  ],
  model_not_loaded: [
    "{subject}이(가) 로드된 워커가 없어 요청이 거부됩니다.",
    "이 모델의 워커를 시작하거나(TAKT_MODELS) 모델을 제거하세요.",
  ],
  model_failed: [
    "워커 {count}대가 {subject}을(를) 로드하지 못했습니다: {reason}",
    "워커 장비에서 takt models verify NAME을 실행하세요. docs/troubleshooting.md 참고.",
  ],
  model_spec_wrong: [
    "{subject}의 model.toml이 올바르지 않습니다: {reason}",
    "파일을 고치세요. takt models list에 이유가 있습니다.",
  ],
  rollout_rolled_back: [
    "{subject}의 전환이 되돌려졌습니다: {reason}",
    "새 버전을 고친 뒤 전환을 다시 시작하거나 배포하세요.",
  ],
  online_queue_old: [
    "{subject}의 요청이 {seconds}초 동안 대기 중입니다.",
    "워커를 늘리세요. 필요한 수: GET /scaling/{model}. 현재 작업: takt workers list.",
  ],
  jobs_stand_still: [
    "{subject}의 묶음 {count}개가 대기하지만 처리되는 것이 없습니다.",
    "takt status JOB에 이유가 있습니다.",
  ],
  jobs_old: [
    "{subject}의 작업이 {hours}시간 동안 대기 중입니다.",
    "더 빨리 끝내려면 워커를 늘리세요. 큰 작업은 그만큼 걸릴 수 있습니다.",
  ],
  requests_rejected: [
    "최근 5분 동안 {subject} 요청의 {percent} %가 과부하로 거부되었습니다.",
    "워커를 늘리거나(GET /scaling/{model}) 가장 많이 보내는 키를 제한하세요.",
  ],
  predictions_fail: [
    "최근 5분 동안 {subject} 요청의 {percent} %가 실패했습니다.",
    "게이트웨이와 워커 로그에 요청 id별 오류가 있습니다.",
  ],
  jobs_fail: [
    "최근 2시간 동안 {subject} 작업 {count}건이 실패했습니다.",
    "takt jobs --state failed 후 takt status JOB을 실행하세요.",
  ],
  chunks_retried: [
    "최근 15분 동안 {subject} 묶음의 {percent} %가 다시 시도되었습니다.",
    "워커 로그를 확인하세요: 처리 중 종료되거나, 행을 읽지 못하거나, Redis 연결이 끊겼습니다.",
  ],
  rows_quarantined: [
    "{subject}의 행이 워커를 종료시킵니다. 최근 15분 동안 묶음 {count}개가 격리 실행되었습니다.",
    "takt errors ID에 해당 행이 있습니다. 다른 작업은 계속됩니다.",
  ],
  dead_letters: [
    "읽을 수 없는 메시지나 기록 {count}건이 따로 보관되었습니다.",
    "takt dead-letters list 후 requeue 또는 drop을 실행하세요.",
  ],
  webhooks_fail: [
    "끝난 작업의 웹훅 {count}건이 아직 전달되지 않았습니다.",
    "받는 쪽을 확인하세요. GET /jobs/{id}의 webhook에 시도 기록이 있습니다.",
  ],
};

/**
 * `[message, remedy]` in the language of the page. An unknown code keeps the texts of the gateway. A remedy by this
 * page replaces a remedy by a command.
 */
export function conditionTexts({ code, subject, parameters, message, remedy }) {
  const here = known(`remedy.${code}`) ? t(`remedy.${code}`) : null;
  const korean = language() === "ko" && KOREAN[code];
  if (!korean) return [message, here ?? remedy];
  const values = { subject, ...parameters };
  return [korean[0].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? ""), here ?? korean[1]];
}
