/*
 * auditor.cpp: see auditor.h.
 */
#include "auditor.h"

#include <algorithm>

namespace dadbs::sim {

using namespace dadbs::core;

namespace {

[[noreturn]] void Fail(NodeId node, const std::string& what) { throw Failure("member " + std::to_string(node.value) + " " + what); }

std::string At(Height height) { return " at height " + std::to_string(height.value); }

}  // namespace

void Auditor::OnOrdered(const DeliverEffect& block) {
  work_.push_back(WorkOf(block.batches));
  truth_.Execute(work_.back());
  histories_.push_back(truth_.history);
}

void Auditor::OnExecuted(NodeId place, NodeId id, const Tables& tables) {
  Histories& m = members_[place.value];
  m.id = id;
  const Height height = tables.height();
  m.by_height.resize(height.value + 1);  // what stood above is executed anew
  m.by_height[height.value] = tables.history;
  if (m.first_difference && *m.first_difference < height) return;
  m.first_difference.reset();
  if (tables.history != histories_.at(height.value)) m.first_difference = height;
}

std::optional<Height> Auditor::FirstDifference(NodeId place) const {
  auto it = members_.find(place.value);
  return it == members_.end() ? std::nullopt : it->second.first_difference;
}

size_t Auditor::Differing() const {
  return static_cast<size_t>(std::count_if(members_.begin(), members_.end(), [](const auto& m) { return m.second.first_difference.has_value(); }));
}

std::set<uint16_t> Auditor::FaultyAt(Height height) const {
  std::set<uint16_t> faulty = liars_;
  for (const auto& [place, m] : members_)
    if (m.first_difference && *m.first_difference <= height) faulty.insert(m.id.value);
  return faulty;
}

// ---- what is said and shown ----------------------------------------------------------------------------------------

void Auditor::OnSaid(NodeId place, const StateDigest& state, Height durable) {
  OnSigned(state);
  lives_[place.value].said[state.height] = state.digest;
  if (state.height > durable) Fail(place, "says a digest that isn't durable" + At(state.height));
  if (ever_said_.try_emplace({place.value, state.height}, state.digest).first->second != state.digest)
    Fail(place, "says two digests" + At(state.height));
  const uint64_t history = members_[place.value].by_height.at(state.height.value);
  const bool is_its = digest_of_.try_emplace({state.height, history}, state.digest).first->second == state.digest &&
                      history_of_.try_emplace({state.height, state.digest}, history).first->second == history;
  if (!is_its) Fail(place, "says a digest of something else than it has come to" + At(state.height));
  NoteSure(state.envelope.signer, &lives_[place.value], state.height);
}

// It was surely looked at if nothing else of him came so near that it may have been skipped, and there can be such a height.
void Auditor::OnShown(NodeId place, NodeId from, const StateDigest& state, Height delivered, int64_t wall_us) {
  Life& life = lives_[place.value];
  std::set<int64_t>& heard = life.heard_us[from.value];
  auto const next = heard.lower_bound(wall_us - check_interval_us_);
  const bool is_alone = next == heard.end() || *next > wall_us + check_interval_us_;
  heard.insert(wall_us);
  if (state.envelope.signer != from || !made_.contains(Statement(state))) return;
  Shown& shown = life.shown[state.height][from.value];
  shown.digests.insert(state.digest);
  if (is_alone && state.height <= delivered && !liars_.contains(from.value)) shown.is_sure = true;
}

size_t Auditor::Others(const Life& life, Height height, const Digest& digest) const {
  auto const shown = life.shown.find(height);
  if (shown == life.shown.end()) return 0;
  return static_cast<size_t>(
      std::count_if(shown->second.begin(), shown->second.end(), [&](const auto& s) { return s.second.digests.contains(digest); }));
}

void Auditor::NoteSure(NodeId self, Life* life, Height height) {
  auto const mine = life->said.find(height);
  if (mine == life->said.end()) return;
  size_t same = 1;
  for (const auto& [signer, shown] : life->shown[height])
    if (shown.is_sure && signer != self.value && shown.digests == std::set{mine->second}) same++;
  if (same >= genesis_.quorum()) life->surely_agreed = std::max(life->surely_agreed, height);
}

// ---- what is found -------------------------------------------------------------------------------------------------

void Auditor::Judge(NodeId place, NodeId id, const DigestExchange& exchange) {
  Life& life = lives_[place.value];
  for (auto it = life.shown.upper_bound(life.surely_agreed); it != life.shown.end(); ++it) NoteSure(id, &life, it->first);
  const Height agreed = exchange.agreed();
  if (agreed < life.surely_agreed) Fail(place, "does not know where it last agreed with a quorum" + At(life.surely_agreed));
  if (agreed.value != 0) {
    auto const mine = life.said.find(agreed);
    if (mine == life.said.end() || Others(life, agreed, mine->second) + 1 < genesis_.quorum())
      Fail(place, "takes itself for agreed with a quorum" + At(agreed));
  }
  if (life.finding || !exchange.finding()) return;
  life.finding = exchange.finding();
  life.finding->no_quorum ? JudgeNoQuorum(place, id, life, *life.finding) : JudgeDiverged(place, life, *life.finding);
}

void Auditor::JudgeDiverged(NodeId place, const Life& life, const Finding& finding) const {
  auto const mine = life.said.find(finding.height);
  if (mine == life.said.end()) Fail(place, "takes itself for diverged where it has said nothing" + At(finding.height));
  std::set<Digest> others;
  if (auto shown = life.shown.find(finding.height); shown != life.shown.end())
    for (const auto& [signer, its] : shown->second) others.insert(its.digests.begin(), its.digests.end());
  others.erase(mine->second);
  const bool is_shown = std::any_of(others.begin(), others.end(), [&](const Digest& d) { return Others(life, finding.height, d) >= genesis_.quorum(); });
  if (!is_shown) Fail(place, "takes itself for diverged, and no quorum has said so" + At(finding.height));
  if (finding.agreed >= finding.height) Fail(place, "differs where it agreed" + At(finding.height));
  if (FaultyAt(finding.height).size() > FaultsTolerated(genesis_.members.size())) return;
  auto const first = FirstDifference(place);
  if (!first || *first > finding.height) Fail(place, "takes itself for diverged and is not" + At(finding.height));
  if (finding.agreed >= *first) Fail(place, "says that it agreed above its first difference" + At(finding.agreed));
}

// Who has said several things may have said any of them last.
void Auditor::JudgeNoQuorum(NodeId place, NodeId id, const Life& life, const Finding& finding) const {
  auto const mine = life.said.find(finding.height);
  if (mine == life.said.end()) Fail(place, "finds no quorum where it has said nothing" + At(finding.height));
  std::map<Digest, size_t> only{{mine->second, 1}};
  size_t unsaid = genesis_.members.size() - 1;
  if (auto shown = life.shown.find(finding.height); shown != life.shown.end())
    for (const auto& [signer, its] : shown->second) {
      if (signer == id.value) continue;
      unsaid--;
      if (its.digests.size() == 1) only[*its.digests.begin()]++;
    }
  for (const auto& [digest, count] : only)
    if (count + unsaid >= genesis_.quorum()) Fail(place, "finds no quorum where there can be one" + At(finding.height));
  if (FaultyAt(finding.height).size() <= FaultsTolerated(genesis_.members.size())) Fail(place, "finds no quorum where there is one" + At(finding.height));
}

void Auditor::OnTaken(NodeId place) const {
  if (knows_.contains(place.value)) Fail(place, "takes a transaction and knows that it has diverged");
}

void Auditor::JudgeAtRest(const std::vector<AtRest>& members) const {
  std::map<uint64_t, std::set<uint16_t>> groups;
  std::set<uint16_t> present;
  for (const AtRest& m : members) {
    const Histories& h = members_.at(m.place.value);
    if (h.by_height.size() != histories_.size()) Fail(m.place, "has not executed the whole chain");
    groups[h.by_height.back()].insert(m.id.value);
    present.insert(m.id.value);
  }
  size_t most = 0;
  for (const auto& [history, ids] : groups) most = std::max(most, ids.size());
  const size_t unknown = genesis_.members.size() - present.size();
  for (const AtRest& m : members) {
    const size_t its = groups.at(members_.at(m.place.value).by_height.back()).size();
    if (most >= genesis_.quorum() && its != most && !m.has_found) Fail(m.place, "has diverged and does not know it");
    if (most + unknown < genesis_.quorum() && !m.has_found) Fail(m.place, "does not know that no quorum shares a state");
  }
}

}  // namespace dadbs::sim
