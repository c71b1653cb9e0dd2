/*
 * join.cpp: a server that has called join_cluster asks the founder for the genesis block.
 *
 * It believes only who holds the founder's key, which its owner gave it (TLS with that key pinned). What comes is
 * checked before it is stored: it names this node with its name, address and key, the environment is equal, the
 * database holds nothing that would be shared, and as many members must approve as this node's owner expects. A founder that is not there yet is asked again and again; a genesis that
 * does not fit is refused, said in dadbs.status and wait_for_ready, and looked at again in case the founder starts
 * over.
 */
#include <algorithm>

#include "consensus.h"
#include "dadbs/core/crypto.h"
#include "dadbs/net/transport.h"
#include "dadbs/pg/boundary.h"
#include "dadbs/pg/errors.h"
#include "dadbs/pg/guc.h"
#include "dadbs/pg/ipc.h"
#include "dadbs/pg/worker.h"

namespace dadbs::pg {
namespace {

constexpr int kPollMax_ms = 500;
constexpr int64_t kAskAgainInterval_us = 10'000'000;

// What the founder of such a genesis would have in it with this server. The rules, and what is compared, change with upgrades of all members
// together, and are compared with those of today at each connection.
Environment EnvironmentOfFounder(const MemberConfig& config, const Environment& of_genesis) {
  Environment here;
  for (const auto& [name, value] : ComputeEnvironment(config)) {
    auto const there = std::ranges::find(of_genesis, name, [](const auto& setting) { return setting.first; });
    if (there != of_genesis.end()) here.emplace_back(name, name == "rules" ? there->second : value);
  }
  return here;
}

// Empty: this node may become a member by it.
std::string WhyNot(const MemberConfig& config, const core::PublicKey& key, const core::Genesis& genesis) {
  if (genesis.members.size() > kNodesShownMax)
    return "the cluster has more than " + std::to_string(kNodesShownMax) + " members";
  const core::Member* const self = genesis.FindByKey(key);
  const core::Member* const named = genesis.FindByName(config.name);
  if (self == nullptr && named == nullptr)
    return "the cluster's genesis names neither \"" + config.name + "\" nor its key";
  if (self == nullptr)
    return "the cluster's genesis names \"" + config.name + "\" with another key, " + FormatKey(named->key) +
           ", than this node's, " + FormatKey(key);
  if (self->name != config.name)
    return "the cluster's genesis calls this node \"" + self->name + "\", not \"" + config.name + "\"";
  if (self->address != config.address)
    return "the cluster's genesis says that \"" + config.name + "\" is at " + self->address + ", not at " +
           config.address;
  const core::Member* const founder = genesis.FindByKey(config.founder->key);
  if (founder == nullptr) return "the cluster's genesis does not name the founder";
  if (std::string const d = DescribeDifference(EnvironmentOfFounder(config, genesis.environment), genesis.environment); !d.empty())
    return "this server differs from the founder's: " + d;
  size_t const expected = config.approvals != 0 ? config.approvals : genesis.quorum();
  if (size_t const needed = genesis.approvals_needed(); needed != expected)
    return "in this cluster " + std::to_string(needed) + " members must approve what would switch off contracts, not " +
           std::to_string(expected) + "; join_cluster(..., approvals => " + std::to_string(needed) + ") accepts that";
  for (const std::string& schema : config.occupied_schemas)
    if (genesis.schemas.empty() || std::count(genesis.schemas.begin(), genesis.schemas.end(), schema) > 0)
      return "schema \"" + schema + "\" would be shared, but there are objects of yours in this database";
  return "";
}

class Joiner {
 public:
  explicit Joiner(const MemberConfig& config) : config_(config), seed_(LoadOrCreateSeed()) {}
  void Run();

 private:
  void Dial();
  bool TakeEvents();  // true: the genesis is stored
  void Finish();
  void SayProgress() const;
  void Say(const std::string& what) const;
  void Refuse(const std::string& why);

  const MemberConfig& config_;
  core::Bytes const seed_;
  std::unique_ptr<net::Transport> transport_;  // none between a refusal and asking again
  WaitEventSet* wait_set_ = nullptr;
  std::string refused_;  // what is wrong with the genesis that was offered
  int64_t ask_again_us_ = 0;
};

void Joiner::Say(const std::string& what) const { SetMemberState(MemberState::kJoining, what.c_str()); }

void Joiner::Dial() {
  net::TransportOptions options;
  options.seed = seed_;
  net::PeerInfo founder{core::NodeId{1}, config_.founder->name, "", 0, config_.founder->key};
  SplitAddress(config_.founder->address, &founder.host, &founder.port);
  std::string error;
  transport_ = net::Transport::CreateJoining(options, founder, &error);
  if (!transport_) throw PgError(ERRCODE_CONNECTION_EXCEPTION, "the founder cannot be reached: " + error);
  if (wait_set_ != nullptr) FreeWaitEventSet(wait_set_);
  wait_set_ = MakeWaitSet(transport_->backend_fd());
}

void Joiner::Refuse(const std::string& why) {
  FreeWaitEventSet(wait_set_);
  wait_set_ = MakeWaitSet(-1);
  transport_.reset();
  ask_again_us_ = NowUs() + kAskAgainInterval_us;
  if (why == refused_) return;
  refused_ = why;
  Say(why);
  pg_atomic_write_u32(&shared->join_refused, 1);
  const char* const text = why.c_str();
  Call([&] { ereport(LOG, (errmsg("dadbs cannot join the cluster: %s", text))); });
}

bool Joiner::TakeEvents() {
  for (net::Event& event : transport_->Poll(NowUs())) {
    const auto* const received = std::get_if<net::GenesisReceived>(&event);
    if (received == nullptr) continue;
    core::Genesis genesis;
    core::PublicKey const key = core::MakeEd25519Signer(seed_)->public_key();
    std::string const why = core::Genesis::Decode(received->genesis, &genesis) ? WhyNot(config_, key, genesis)
                                                                               : "the founder's genesis cannot be read";
    if (why.empty()) {
      StoreGenesis(received->genesis);
      return true;
    }
    Refuse(why);
    return false;
  }
  return false;
}

void Joiner::SayProgress() const {
  std::string text = "asking the founder " + config_.founder->name + " at " + config_.founder->address;
  for (const net::PeerStats& peer : transport_->stats())
    if (!peer.last_error.empty()) text += ": " + peer.last_error;
  if (refused_.empty()) Say(text);
}

void Joiner::Run() {
  while (!ShutdownAsked()) {
    HandleWorkerInterrupts();
    if (!transport_ && NowUs() >= ask_again_us_) Dial();
    if (transport_ && TakeEvents()) return Finish();
    int timeout_ms = kPollMax_ms;
    if (transport_) {
      SayProgress();
      if (int const net_ms = transport_->NextTimeoutMs(); net_ms >= 0) timeout_ms = std::min(timeout_ms, net_ms);
    }
    WaitForEvents(wait_set_, timeout_ms);
  }
}

void Joiner::Finish() {
  std::optional<Member> const member = LoadMember();
  DADBS_CHECK(member.has_value());
  PublishIdentity(IdentityOf(*member));
  WakeWorker(&shared->launcher);
}

}  // namespace

void JoinCluster(const MemberConfig& config) {
  pg_atomic_write_u32(&shared->join_refused, 0);
  Joiner joiner(config);
  joiner.Run();
}

}  // namespace dadbs::pg
