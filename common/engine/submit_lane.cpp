#include "common/engine/submit_lane.hpp"

#include "common/base/backoff.hpp"

namespace relay {
namespace {

constexpr std::chrono::minutes one_minute{1};
constexpr std::size_t most_accepted = 4'096;  // of the last minute; no limit is higher
// While nothing is known of its limits, as many are on their way at once as an eighth of those it took, and
// one that is slow holds up the next no longer than this.
constexpr std::int64_t share_in_flight = 8;
constexpr std::chrono::milliseconds slow_after{250};
constexpr std::int64_t least_in_minute = 5;  // fewer are no likely limit

constexpr std::string_view mode_names[] = {"open", "paused", "draining", "closed"};

void forget_before(std::deque<timestamp>& times, timestamp since) {
  while (!times.empty() && times.front() <= since) times.pop_front();
}

void erase_one(std::deque<timestamp>& times, timestamp t) {
  if (const auto at = std::ranges::find(times, t); at != times.end()) times.erase(at);
}

std::int64_t count_after(const std::deque<timestamp>& times, timestamp since) {
  return times.end() - std::ranges::upper_bound(times, since);
}

}  // namespace

std::string_view name_of(lane_mode m) {
  return mode_names[static_cast<std::size_t>(m)];
}

std::optional<lane_mode> lane_mode_from(std::string_view name) {
  const auto found = std::ranges::find(mode_names, name);
  if (found == std::end(mode_names)) return std::nullopt;
  return static_cast<lane_mode>(found - std::begin(mode_names));
}

std::int64_t submit_lane::sent_lately(timestamp now) const {
  return count_after(recent_, now - one_minute);
}

std::int64_t submit_lane::accepted_lately(timestamp now) const {
  return count_after(accepted_, now - one_minute);
}

// In the minute before this one, as the upstream counts; what others that are on their way will end in is not
// known.
std::int64_t submit_lane::accepted_before(timestamp began) const {
  const auto end = std::ranges::lower_bound(accepted_, began);
  const auto from = std::ranges::upper_bound(accepted_.begin(), end, began - one_minute);
  const auto flying =
      std::ranges::lower_bound(in_flight_, began, {}, &submission::began) - in_flight_.begin();
  return std::max<std::int64_t>(0, end - from - flying);
}

bool submit_lane::too_fast(timestamp now) const {
  if (!careful || max_open > 0 || at_once.value() > 0) return false;
  const auto slow = std::ranges::upper_bound(in_flight_, now - slow_after, {}, &submission::began);
  return in_flight_.end() - slow >= std::max<std::int64_t>(1, accepted / share_in_flight);
}

// Jobs that ended while its response was on its way were there when the upstream decided.
std::int64_t submit_lane::had(timestamp began) const {
  const auto at = std::ranges::find(in_flight_, began, &submission::began);
  return at == in_flight_.end() ? has() : std::max(has(), at->beside);
}

bool submit_lane::can_take(timestamp now) const {
  return mode != lane_mode::paused && mode != lane_mode::closed && now >= cool_down_until &&
         in_flight < std::min(max_in_flight, window) && (max_open == 0 || open < max_open) &&
         at_once.allows(open, now) && (per_minute == 0 || sent_lately(now) < per_minute) &&
         (in_minute.value() == 0 || in_minute.allows(accepted_lately(now), now)) && !too_fast(now);
}

void submit_lane::begin(timestamp now) {
  at_once.begin(open);
  if (in_minute.value() > 0) in_minute.begin(accepted_lately(now));
  in_flight_.push_back({now, has()});
  ++in_flight;
  if (per_minute > 0) {
    forget_before(recent_, now - one_minute);
    recent_.push_back(now);
  }
  forget_before(accepted_, now - one_minute);
  accepted_.push_back(now);
  if (accepted_.size() > most_accepted) accepted_.pop_front();
}

void submit_lane::end(timestamp began) {
  --in_flight;
  if (const auto at = std::ranges::find(in_flight_, began, &submission::began); at != in_flight_.end())
    in_flight_.erase(at);
}

void submit_lane::take_back(timestamp began) {
  end(began);
  erase_one(recent_, began);
  erase_one(accepted_, began);
}

milliseconds submit_lane::ended(const submit_outcome& o, const std::string& of, timestamp began,
                                timestamp now, const policy& p) {
  if (o.why != cause::none) {
    why = o.why;
    problem = o.note;
    problem_at = now;
  }
  const bool of_account =
      o.why == cause::key_refused || o.why == cause::no_credits || o.why == cause::not_allowed;
  if (!of_account) {
    account_refusals = 0;
    refused_task.clear();
  } else if (refused_task != of) {  // one that is refused again and again says nothing of the others
    ++account_refusals;
    refused_task = of;
  }
  switch (o.why) {
    case cause::none:
      if (o.what == submit_outcome::kind::accepted) {
        ++accepted;
        limited_in_row = limited_tasks = 0;
        limited_task.clear();
        at_once.accepted(has() + 1);
        in_minute.accepted(accepted_before(began) + 1);
      }
      success();
      return milliseconds{0};
    case cause::limited:
      return limited(o, of, began, now, p);
    case cause::key_refused:
      account_refusals = std::max(account_refusals, account_refused_from);
      return failure(o, now, account_first, account_longest);
    case cause::no_credits:
      if (refuses_account()) return failure(o, now, account_first, account_longest);
      break;
    case cause::unreachable:
    case cause::lost:
      return failure(o, now, p.submit_retry, p.submit_retry_max);
    case cause::no_room:
      cool_down_until = std::max(cool_down_until, now + p.submit_retry);
      return p.submit_retry;
    case cause::not_allowed:
    case cause::wrong_address:
      break;
  }
  // It is this task's alone.
  success();
  return milliseconds{0};
}

void submit_lane::success() {
  failures = 0;
  window = std::min<std::int64_t>(window + 1, 1'000'000);
}

// It refused the key, cannot be reached, or its response was lost: nothing goes there for a while, that is
// doubled each time in a row; then one submission tries.
milliseconds submit_lane::failure(const submit_outcome& o, timestamp now, milliseconds first,
                                  milliseconds max) {
  const milliseconds pause = std::max(o.cool_down, backoff(failures, first, max, 0));
  // Those that were in flight together are one failure.
  if (now >= cool_down_until) ++failures;
  window = 1;
  cool_down_until = std::max(cool_down_until, now + pause);
  return pause;
}

// 429: of jobs at once, or of submissions in a minute?
milliseconds submit_lane::limited(const submit_outcome& o, const std::string& of, timestamp began,
                                  timestamp now, const policy& p) {
  success();
  accepted = 0;
  erase_one(accepted_, began);
  const std::int64_t lately = accepted_before(began);
  bool of_jobs = o.limit == limit_kind::at_once;
  if (o.limit == limit_kind::unknown) {
    // It had more jobs at once before: then it is the minute; unless that is not full either.
    of_jobs = had(began) >= at_once.good() || (in_minute.value() > 0 && lately < in_minute.value());
  }
  learned_limit& l = of_jobs ? at_once : in_minute;
  const std::int64_t used = of_jobs ? had(began) : lately;
  milliseconds pause = o.cool_down;
  ++limited_in_row;
  if (limited_task != of) ++limited_tasks;
  limited_task = of;
  // One that has little of ours and refuses all the same says nothing of a limit, until it has refused
  // several tasks in a row: others may use its account, or it is about this one task.
  const bool is_named = o.limit != limit_kind::unknown;
  const bool plausible = of_jobs ? used > 0
                                 : used > 0 && limited_tasks >= (is_named                  ? 1
                                                                 : used >= least_in_minute ? 2
                                                                                           : 3);
  if (plausible) l.refused(used, began, now, o.cool_down);
  if (pause.count() == 0 && (!plausible || l.refused_in_row() > 2))
    pause = backoff(limited_in_row - 1, p.submit_retry, p.submit_retry_max, 0);
  cool_down_until = std::max(cool_down_until, now + pause);
  return pause;
}

// The time at which the oldest of a full minute is over.
timestamp submit_lane::waits_for_minute(timestamp now) const {
  timestamp at = now;
  const auto oldest_of = [&](const std::deque<timestamp>& times, std::int64_t limit) {
    if (limit > 0 && count_after(times, now - one_minute) >= limit)
      at = std::max(at, times[static_cast<std::size_t>(std::ssize(times) - limit)] + one_minute);
  };
  oldest_of(recent_, per_minute);
  oldest_of(accepted_, in_minute.value());
  return at;
}

timestamp submit_lane::next_available(timestamp now) const {
  if (mode == lane_mode::paused || mode == lane_mode::closed) return now;
  timestamp at = std::max(cool_down_until, waits_for_minute(now));
  if (too_fast(now))
    at = std::max(at, std::ranges::upper_bound(in_flight_, now - slow_after, {}, &submission::began)->began +
                          slow_after);
  return std::max(now, at);
}

void submit_lane::remember(const lane_memory& m, timestamp now) {
  if (mode != lane_mode::closed && m.mode != lane_mode::closed) mode = m.mode;
  mode_since = now;
  at_once = learned_limit(m.at_once);
  in_minute = learned_limit(m.in_minute);
}

namespace {

const outgoing_settings& settings_of(const submit_lane& l) {
  static const outgoing_settings nothing_set;
  return l.with ? *l.with : nothing_set;
}

bool takes_action(const submit_lane& l, const task& t) {
  return l.actions.empty() ||
         (t.action != nullptr && std::ranges::find(l.actions, t.action->name) != l.actions.end());
}

bool takes_model(const submit_lane& l, const std::string& model) {
  return model.empty() || std::ranges::find(l.models, model) != l.models.end();  // some kinds have none
}

}  // namespace

bool serving_lanes::contains(const submit_lane& l) {
  if (l.mode == lane_mode::closed || (task_.pinned && task_.upstream != l.name)) return false;
  if (l.mode == lane_mode::draining && task_.created_at > l.mode_since) return false;
  if (!takes_action(l, task_)) return false;
  if (l.speaks == nullptr) return true;
  if (l.speaks != speaks_ || l.with.get() != with_) {
    speaks_ = l.speaks;
    with_ = l.with.get();
    possible_ = l.speaks->obstacle(task_, settings_of(l)).empty();
    model_.reset();
  }
  if (!possible_ || l.models.empty()) return possible_;
  if (!model_) model_ = l.speaks->model_of(task_, settings_of(l));
  return takes_model(l, *model_);
}

bool serves(const submit_lane& l, const task& t) {
  return serving_lanes(t).contains(l);
}

std::string why_not(const submit_lane& l, const task& t) {
  if (l.mode == lane_mode::closed || (t.pinned && t.upstream != l.name)) return {};
  if (l.mode == lane_mode::draining && t.created_at > l.mode_since) return "no new jobs are taken now";
  if (!takes_action(l, t)) return "jobs of the kind " + std::string(t.action->name) + " are not taken";
  if (l.speaks == nullptr) return {};
  if (std::string reason = l.speaks->obstacle(t, settings_of(l)); !reason.empty()) return reason;
  if (l.models.empty()) return {};
  const std::string model = l.speaks->model_of(t, settings_of(l));
  return takes_model(l, model) ? "" : "model: jobs of " + model + " are not taken";
}

std::optional<choice> choose(std::span<const submit_lane> lanes, const task& t, timestamp now,
                             lane_set from) {
  serving_lanes serving(t);
  std::optional<choice> best;
  bool best_refused = false;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const submit_lane& l = lanes[i];
    if ((from >> i & 1) == 0 || !l.can_take(now)) continue;
    const bool refused = !t.pinned && t.upstream == l.name;  // it could not take the task the last time
    const auto order = std::pair(refused, l.rank);
    if (best && order > std::pair(best_refused, lanes[best->lane].rank)) continue;
    if (!serving.contains(l)) continue;
    const lane_set one = lane_set{1} << i;
    if (!best || order < std::pair(best_refused, lanes[best->lane].rank)) {
      best = choice{i, one};
      best_refused = refused;
      continue;
    }
    best->among |= one;
    if (l.credit + l.weight > lanes[best->lane].credit + lanes[best->lane].weight) best->lane = i;
  }
  return best;
}

// Smooth weighted round robin.
void take_turn(std::span<submit_lane> lanes, const choice& c) {
  std::int64_t all = 0;
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    if ((c.among >> i & 1) == 0) continue;
    lanes[i].credit += lanes[i].weight;
    all += lanes[i].weight;
  }
  lanes[c.lane].credit -= all;
}

std::optional<timestamp> next_available(std::span<const submit_lane> lanes, timestamp now) {
  std::optional<timestamp> earliest;
  for (const submit_lane& l : lanes) {
    const timestamp at = l.next_available(now);
    if (at > now && (!earliest || at < *earliest)) earliest = at;
  }
  return earliest;
}

}  // namespace relay
