/*
 * transport.cpp: the peers, and which connections to them count.
 *
 * A link goes: TCP, TLS (the peer's key is a member's, or it goes no further), hello both ways (protocol version,
 * chain, node id, environment), ready. Both sides judge the hello by the same rules, so each learns why a link is
 * refused; the one that refuses keeps the link open for a moment so that its own hello arrives.
 *
 * Both members dial. When a second link to a peer gets ready, the one dialled by the smaller id stays, or the newer of
 * two by the same; the other drains: nothing new is sent on it, what arrives still counts, then it closes. If the one
 * that stays is dead without our knowing (the peer's machine lost power), a ping finds out within kProbeUs. So it does, sooner, when
 * something comes over a replaced link while the one that counts is silent: the peer may have lost that one without our hearing of it.
 *
 * Strangers: at most half_open_max accepted links that aren't ready, each with a small buffer and a deadline, and a
 * limited number of accepts per second; the rest is closed at once and counted. Our own dialling doesn't suffer from
 * it.
 *
 * One thread. Names are looked up by libuv's threads, started with all signals blocked; they touch only their request.
 */
#include "dadbs/net/transport.h"

#include <netdb.h>
#include <signal.h>

#include <algorithm>
#include <map>
#include <random>

#include "codec.h"
#include "link.h"

namespace dadbs::net {

using namespace core;

namespace {

constexpr uint32_t kHelloBytesMax = 64u << 10;
constexpr uint32_t kGenesisBytesMax = 16u << 20;
constexpr uint64_t kStrangerBytesMax = 64u << 10;
constexpr int64_t kRefusedLingerUs = 500'000;
constexpr int64_t kReplacedLingerUs = 1'000'000;
constexpr int64_t kDrainMaxUs = 30'000'000;
constexpr int kDrainingMax = 4;  // replaced links of one peer
constexpr int64_t kServedLingerUs = 5'000'000;
constexpr int64_t kProbeUs = 2'000'000;
constexpr int64_t kDoubtAfterUs = 250'000;  // of silence, while the peer talks over another link
constexpr int64_t kDoubtedUs = 1'000'000;   // to prove itself
constexpr size_t kRefusedEventsMax = 256;  // between two polls
constexpr int kListenBacklog = 128;
constexpr int kRoundsPerPoll = 4;
// Of one peer in one Poll, and at least one frame; of a link that has not said whose it is, the same: whoever floods a
// member costs it so much of each round, and no more. A wrong signature takes 0.1 ms.
constexpr LinkBudget kBudgetPerPoll{64, 2 << 20};

int64_t ClockUs() { return static_cast<int64_t>(uv_hrtime() / 1000); }

struct Peer {
  PeerInfo info;
  Link* active = nullptr;
  Link* dialling = nullptr;
  bool resolving = false;
  uint32_t attempts = 0;
  int64_t backoff_us = 0;
  int64_t next_dial_us = 0;
  std::string reported;  // the last refusal of our dialling that was told
  SendQueue queue;
  PeerStats stats;  // with the counters of the links that are gone
  bool unheard = false;  // SetDeaf: what it sends is lost
  LinkBudget budget;     // of all its links together: it may have many that are draining
};

class TransportImpl;

// A name being looked up. Outlives the transport if libuv's thread is still at it.
struct Lookup {
  uv_getaddrinfo_t request{};
  TransportImpl* transport = nullptr;
  Peer* peer = nullptr;
};

class TransportImpl final : public Transport, public LinkOwner {
 public:
  TransportImpl(const TransportOptions& options, std::vector<PeerInfo> peers, Environment environment, Bytes genesis,
                bool joining);
  ~TransportImpl() override;
  bool Start(std::string* error);

  int backend_fd() const override { return uv_backend_fd(loop_); }
  int NextTimeoutMs() const override;
  std::vector<Event> Poll(int64_t now_us) override;
  void Send(NodeId to, const Message& message) override;
  void SendFrame(NodeId to, Bytes frame) override;
  void Flush() override;
  void SetIsolated(bool isolated) override;
  void SetDeaf(const std::vector<NodeId>& peers) override;
  std::vector<PeerStats> stats() const override;
  uint64_t refused_count() const override { return refused_; }
  uint16_t listen_port() const override { return listen_port_; }

 private:
  // LinkOwner
  void Wake(Link* link) noexcept override;
  void LoopChanged() noexcept override { loop_changed_ = true; }
  // -- listening and dialling
  bool Listen(std::string* error);
  bool Bind(std::string* error);
  static void OnConnection(uv_stream_t* server, int status) noexcept;
  void Accept();
  bool MayAccept(std::string* why);
  void Dial(Peer& peer);
  void LookUp(Peer& peer);
  static void OnLookedUp(uv_getaddrinfo_t* request, int status, addrinfo* found) noexcept;
  void ConnectTo(Peer& peer, const sockaddr* address);
  void BackOff(Peer& peer);
  Link* AddLink(bool dialled);
  // -- the life of a link
  void Work(Link* link);
  void OnSecured(Link* link);
  void OnFrame(Link* link, ByteView frame);
  void OnHello(Link* link, const Hello& hello);
  std::string Judge(const Peer& peer, const Hello& hello) const;
  void OnReady(Link* link, Peer& peer);
  void Use(Link* link, Peer& peer);
  void Replace(Link* link);
  void Doubt(Peer& peer);
  bool IsSpare(const Link& link, NodeId peer) const;
  void UseSpare(Peer& peer);
  void Refuse(Link* link, const std::string& why);
  void OnFailed(Link* link);
  void Detach(Link* link, const std::string& why);
  void CheckDeadlines();
  void Sweep();
  // -- odds and ends
  template <class E>
  void Emit(E&& event) {
    events_.emplace_back(std::in_place_type<std::decay_t<E>>, std::forward<E>(event));
  }
  Peer* Find(NodeId id);
  std::string Name(const Link* link);
  void Tell(const std::string& address, const std::string& why);
  void Push(Peer& peer, const Frame& frame, Worth worth);
  uint64_t Jitter(int64_t us) { return static_cast<uint64_t>(us) * (750 + random_() % 500) / 1000; }

  const TransportOptions options_;
  const Environment environment_;
  const Bytes genesis_;
  const bool joining_;
  std::unique_ptr<TlsIdentity> identity_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<PublicKey, Peer*> by_key_;

  uv_loop_t* loop_ = nullptr;
  uv_tcp_t server_;
  bool listening_ = false;
  uint16_t listen_port_ = 0;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<Link*> woken_;  // room for all links is reserved: Wake does not allocate
  std::vector<Lookup*> lookups_;
  bool loop_changed_ = true;
  bool isolated_ = false;
  bool joined_ = false;  // the genesis is here: no more dialling
  int64_t clock_us_ = 0;
  int64_t now_us_ = 0;        // the caller's
  int64_t accepts_left_ = 0;  // token bucket
  int64_t accepts_filled_us_ = 0;
  std::vector<Event> events_;
  size_t refused_events_ = 0;
  uint64_t refused_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

// ---- start and end ----------------------------------------------------------------------------------------------

TransportImpl::TransportImpl(const TransportOptions& options, std::vector<PeerInfo> peers, Environment environment,
                             Bytes genesis, bool joining)
    : options_(options), environment_(std::move(environment)), genesis_(std::move(genesis)), joining_(joining) {
  for (PeerInfo& info : peers) {
    if (info.id == options_.self) continue;
    auto peer = std::make_unique<Peer>();
    peer->stats.id = info.id;
    peer->info = std::move(info);
    by_key_[peer->info.key] = peer.get();
    peers_.push_back(std::move(peer));
  }
}

bool TransportImpl::Start(std::string* error) {
  identity_ = TlsIdentity::Create(options_.seed, error);
  if (!identity_) return false;
  // A connection that the peer has closed must give an error, not a signal.
  struct sigaction now;
  if (sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
  loop_ = new uv_loop_t;
  if (int status = uv_loop_init(loop_); status != 0) {
    delete loop_;
    loop_ = nullptr;
    return *error = std::string("could not start the network: ") + uv_strerror(status), false;
  }
  clock_us_ = accepts_filled_us_ = ClockUs();
  accepts_left_ = options_.accepts_per_second_max;
  return joining_ || Listen(error);
}

TransportImpl::~TransportImpl() {
  if (!loop_) return;
  for (auto& link : links_) link->Close();
  if (listening_) uv_close(reinterpret_cast<uv_handle_t*>(&server_), nullptr);
  for (Lookup* lookup : lookups_) {
    lookup->transport = nullptr;
    uv_cancel(reinterpret_cast<uv_req_t*>(&lookup->request));
  }
  while (std::any_of(links_.begin(), links_.end(), [](auto& l) { return l->state != Link::State::kClosed; }))
    uv_run(loop_, UV_RUN_NOWAIT);
  uv_run(loop_, UV_RUN_NOWAIT);
  // A thread that still waits for a name server writes to its request and wakes the loop: then both are left to it.
  if (uv_loop_close(loop_) == 0) delete loop_;
}

bool TransportImpl::Bind(std::string* error) {
  auto try_bind = [&](const sockaddr* address) {
    uv_tcp_init(loop_, &server_);
    listening_ = true;
    server_.data = this;
    int status = uv_tcp_bind(&server_, address, 0);
    if (status == 0) status = uv_listen(reinterpret_cast<uv_stream_t*>(&server_), kListenBacklog, OnConnection);
    if (status == 0) return true;
    *error = "could not listen on \"" + options_.listen_host + "\" port " + std::to_string(options_.listen_port) +
             ": " + uv_strerror(status);
    uv_close(reinterpret_cast<uv_handle_t*>(&server_), nullptr);
    uv_run(loop_, UV_RUN_NOWAIT);
    return listening_ = false;
  };
  const std::string& host = options_.listen_host;
  if (host.empty()) {
    sockaddr_in6 six;
    sockaddr_in four;
    uv_ip6_addr("::", options_.listen_port, &six);
    uv_ip4_addr("0.0.0.0", options_.listen_port, &four);
    return try_bind(reinterpret_cast<sockaddr*>(&six)) || try_bind(reinterpret_cast<sockaddr*>(&four));
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  int status = getaddrinfo(host.c_str(), std::to_string(options_.listen_port).c_str(), &hints, &found);
  if (status != 0) return *error = "could not look up \"" + host + "\": " + gai_strerror(status), false;
  bool bound = try_bind(found->ai_addr);
  freeaddrinfo(found);
  return bound;
}

bool TransportImpl::Listen(std::string* error) {
  if (!Bind(error)) return false;
  sockaddr_storage storage{};
  int bytes = sizeof(storage);
  uv_tcp_getsockname(&server_, reinterpret_cast<sockaddr*>(&storage), &bytes);
  listen_port_ = ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port
                                                     : reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
  return true;
}

// ---- odds and ends ----------------------------------------------------------------------------------------------

void TransportImpl::Wake(Link* link) noexcept {
  if (link->on_wake_list) return;
  link->on_wake_list = true;
  woken_.push_back(link);
}

Peer* TransportImpl::Find(NodeId id) {
  for (auto& peer : peers_)
    if (peer->info.id == id) return peer.get();
  return nullptr;
}

std::string TransportImpl::Name(const Link* link) {
  Peer* peer = Find(link->peer);
  if (!peer) return "the server at " + link->address();
  return "node " + std::to_string(peer->info.id.value) + (peer->info.name.empty() ? "" : " (" + peer->info.name + ")");
}

void TransportImpl::Tell(const std::string& address, const std::string& why) {
  refused_++;
  if (refused_events_++ < kRefusedEventsMax) Emit(Refused{address, why});
}

Link* TransportImpl::AddLink(bool dialled) {
  woken_.reserve(links_.size() + 1);
  links_.push_back(std::make_unique<Link>(*this, loop_, dialled));
  Link* link = links_.back().get();
  link->stranger_bytes_left = kStrangerBytesMax;
  link->frame_bytes_max = kHelloBytesMax;
  link->budget = kBudgetPerPoll;
  link->deadline_us = clock_us_ + options_.connect_timeout_us;
  link->heard_us = clock_us_;
  return link;
}

// ---- listening and dialling -------------------------------------------------------------------------------------

void TransportImpl::OnConnection(uv_stream_t* server, int status) noexcept {
  if (status != 0) return;
  try {
    static_cast<TransportImpl*>(server->data)->Accept();
  } catch (const std::bad_alloc&) {
    // It stays in the listen queue: libuv goes on when there is memory for the next one.
  }
}

bool TransportImpl::MayAccept(std::string* why) {
  const int64_t per_second = options_.accepts_per_second_max;
  clock_us_ = ClockUs();
  if (int64_t more = (clock_us_ - accepts_filled_us_) * per_second / 1'000'000; more > 0) {
    accepts_left_ = std::min(per_second, accepts_left_ + more);
    accepts_filled_us_ = clock_us_;
  }
  auto half_open = std::count_if(links_.begin(), links_.end(), [](const auto& l) {
    return !l->dialled() && l->state != Link::State::kReady && l->state < Link::State::kClosing;
  });
  if (half_open >= static_cast<int64_t>(options_.half_open_max))
    *why = "there are too many connections that have not said who they are";
  else if (accepts_left_ <= 0)
    *why = "there are too many connections in a short time";
  return why->empty();
}

void TransportImpl::Accept() {
  std::string why;
  const bool may = !isolated_ && MayAccept(&why);
  Link* link = AddLink(false);
  const bool accepted = link->Accept(reinterpret_cast<uv_stream_t*>(&server_), &why);
  if (accepted && may) {
    accepts_left_--;
    return Wake(link);
  }
  if (!isolated_) Tell(link->address(), why);
  link->Close();
}

void TransportImpl::BackOff(Peer& peer) {
  peer.backoff_us = std::clamp(peer.backoff_us * 2, options_.reconnect_min_us, options_.reconnect_max_us);
  peer.next_dial_us = clock_us_ + static_cast<int64_t>(Jitter(peer.backoff_us));
}

void TransportImpl::Dial(Peer& peer) {
  sockaddr_in four;
  sockaddr_in6 six;
  if (uv_ip4_addr(peer.info.host.c_str(), peer.info.port, &four) == 0)
    ConnectTo(peer, reinterpret_cast<sockaddr*>(&four));
  else if (uv_ip6_addr(peer.info.host.c_str(), peer.info.port, &six) == 0)
    ConnectTo(peer, reinterpret_cast<sockaddr*>(&six));
  else
    LookUp(peer);
}

void TransportImpl::LookUp(Peer& peer) {
  auto lookup = std::make_unique<Lookup>();
  lookup->request.data = lookup.get();
  lookup->transport = this;
  lookup->peer = &peer;
  lookups_.push_back(lookup.get());
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the first request starts the threads: signals are not theirs
  int status = uv_getaddrinfo(loop_, &lookup->request, OnLookedUp, peer.info.host.c_str(),
                              std::to_string(peer.info.port).c_str(), &hints);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  loop_changed_ = true;
  if (status == 0) {
    peer.resolving = true;
    lookup.release();
    return;
  }
  lookups_.pop_back();
  peer.stats.last_error = std::string("could not look up its address: ") + uv_strerror(status);
  BackOff(peer);
}

void TransportImpl::OnLookedUp(uv_getaddrinfo_t* request, int status, addrinfo* found) noexcept {
  std::unique_ptr<Lookup> lookup(static_cast<Lookup*>(request->data));
  TransportImpl* self = lookup->transport;
  if (!self) return uv_freeaddrinfo(found);
  Peer& peer = *lookup->peer;
  std::erase(self->lookups_, lookup.get());
  peer.resolving = false;
  try {
    if (status != 0) {
      peer.stats.last_error = std::string("could not look up its address: ") + uv_strerror(status);
      self->BackOff(peer);
    } else if (!self->isolated_ && !peer.active) {
      const addrinfo* chosen = found;  // another one at each attempt
      for (uint32_t skip = peer.attempts; skip > 0; skip--) chosen = chosen->ai_next ? chosen->ai_next : found;
      self->ConnectTo(peer, chosen->ai_addr);
    }
  } catch (const std::bad_alloc&) {
    self->BackOff(peer);
  }
  uv_freeaddrinfo(found);
}

void TransportImpl::ConnectTo(Peer& peer, const sockaddr* address) {
  peer.attempts = (peer.attempts + 1) % 16;
  Link* link = AddLink(true);
  peer.dialling = link;
  std::string why;
  if (link->Connect(address, &why)) return;
  link->Fail("could not connect: " + why);
  Wake(link);
}

// ---- the life of a link -----------------------------------------------------------------------------------------

void TransportImpl::Work(Link* link) {
  if (link->state == Link::State::kClosing || link->state == Link::State::kClosed) return;
  std::string why;
  if (!link->dialled() && link->state == Link::State::kTls && !link->tls().started() &&
      !link->StartTls(
          *identity_, [this](const PublicKey& key) { return by_key_.count(key) != 0; }, &why))
    link->Fail(why);
  const Peer* sender = Find(link->peer);
  if (link->bytes_received() != link->heard_bytes && !(sender && sender->unheard)) {
    link->heard_bytes = link->bytes_received();
    link->heard_us = clock_us_;
    if (link->state == Link::State::kReady) link->deadline_us = 0;
  }
  ByteView frame;
  for (;;) {
    Peer* const owner = Find(link->peer);
    LinkBudget& budget = owner ? owner->budget : link->budget;
    link->has_more = budget.frames == 0 || budget.bytes <= 0;
    if (link->has_more) break;
    Link::Progress progress = link->Next(&frame);
    if (progress == Link::Progress::kNone) break;
    if (progress == Link::Progress::kFrame) {
      budget.frames--;
      budget.bytes -= static_cast<int64_t>(frame.size());
      if (!(sender && sender->unheard)) link->heard_us = clock_us_;  // it may have come long ago
      OnFrame(link, frame);
    }
    if (progress == Link::Progress::kSecured) OnSecured(link);
    if (progress != Link::Progress::kConnected) continue;
    link->deadline_us = clock_us_ + options_.connect_timeout_us;
    for (auto& peer : peers_)
      if (peer->dialling == link &&
          !link->StartTls(
              *identity_, [key = peer->info.key](const PublicKey& shown) { return shown == key; }, &why))
        link->Fail(why);
  }
  Peer* peer = Find(link->peer);
  link->Flush(peer && peer->active == link ? &peer->queue : nullptr);
  if (link->failed()) OnFailed(link);
}

void TransportImpl::OnSecured(Link* link) {
  link->peer = by_key_.at(link->tls().peer_key())->info.id;
  Hello hello;
  hello.protocol_version = options_.protocol_version;
  hello.joining = joining_;
  hello.node = options_.self;
  hello.chain_id = options_.chain_id;
  hello.environment = environment_;
  link->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(std::move(hello)))));
}

void TransportImpl::OnFrame(Link* link, ByteView frame) {
  if (link->state == Link::State::kDraining && !link->still_heard) return;
  Peer* const sender = Find(link->peer);
  if (sender && sender->unheard) return;
  if (sender && link->state == Link::State::kDraining) Doubt(*sender);
  WireMessage message;
  std::string why;
  if (!DecodeEnvelope(frame, &message, &why)) return Refuse(link, "it sends " + why);
  if (auto* hello = std::get_if<Hello>(&message)) {
    if (link->state == Link::State::kHello) return OnHello(link, *hello);
    return Refuse(link, "it sends a second hello");
  }
  if (link->state == Link::State::kHello) return Refuse(link, "it does not begin with a hello");
  if (joining_) {
    auto* genesis = std::get_if<GenesisAnswer>(&message);
    if (!genesis) return Refuse(link, "it sends something else than the genesis");
    Emit(GenesisReceived{std::move(genesis->genesis)});
    joined_ = true;
    Detach(link, "");
    return link->Close();
  }
  if (std::holds_alternative<Ping>(message)) {
    // Who does not take what is being sent already gets no more: answers that are not read would fill memory.
    if (!link->sending()) link->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(Pong{}))));
  } else if (auto* received = std::get_if<Message>(&message)) {
    Peer* peer = Find(link->peer);
    peer->stats.messages_received++;
    Emit(Received{link->peer, std::move(*received)});
  } else if (std::holds_alternative<GenesisAnswer>(message)) {
    Refuse(link, "it sends a genesis that nobody has asked for");
  }
}

// What speaks against this peer; empty: nothing. Both sides come to the same result.
std::string TransportImpl::Judge(const Peer& peer, const Hello& hello) const {
  if (hello.protocol_version != options_.protocol_version)
    return "it speaks protocol version " + std::to_string(hello.protocol_version) + ", this server speaks version " +
           std::to_string(options_.protocol_version);
  if (hello.joining || joining_) return "";
  if (hello.chain_id != options_.chain_id)
    return "it belongs to another chain (" + ToHex(hello.chain_id.view()) + ", here " +
           ToHex(options_.chain_id.view()) + ")";
  if (hello.node != peer.info.id)
    return "it says that it is node " + std::to_string(hello.node.value) + ", but its key is node " +
           std::to_string(peer.info.id.value) + "'s";
  std::map<std::string, std::string> theirs(hello.environment.begin(), hello.environment.end());
  std::string differences;
  auto differ = [&](const std::string& name, const std::string& there, const std::string& here) {
    differences += (differences.empty() ? "" : "; ") + name + " is \"" + there + "\" there, \"" + here + "\" here";
  };
  for (const auto& [name, here] : environment_) {
    auto found = theirs.find(name);
    std::string there = found == theirs.end() ? "" : found->second;
    if (there != here) differ(name, there, here);
    theirs.erase(name);
  }
  for (const auto& [name, there] : theirs) differ(name, there, "");
  return differences.empty() ? "" : "its environment differs: " + differences;
}

void TransportImpl::OnHello(Link* link, const Hello& hello) {
  Peer& peer = *Find(link->peer);
  std::string why = Judge(peer, hello);
  if (!why.empty()) return Refuse(link, why);
  if (joining_) {
    link->state = Link::State::kReady;
    link->frame_bytes_max = kGenesisBytesMax;
    return;
  }
  if (!hello.joining) return OnReady(link, peer);
  if (genesis_.empty()) return Refuse(link, "it asks for the genesis, which this server does not have");
  link->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(GenesisAnswer{genesis_}))));
  link->state = Link::State::kDraining;
  link->deadline_us = clock_us_ + kServedLingerUs;
}

void TransportImpl::OnReady(Link* link, Peer& peer) {
  auto dialler = [&](const Link* l) { return l->dialled() ? options_.self : peer.info.id; };
  if (peer.dialling == link) peer.dialling = nullptr;
  link->state = Link::State::kReady;
  link->deadline_us = 0;
  link->frame_bytes_max = options_.frame_bytes_max;
  peer.backoff_us = 0;
  peer.reported.clear();
  Link* old = peer.active;
  if (old && dialler(old) < dialler(link)) {
    // The peer would not have dialled if it knew of this link, or both dialled at once: is it alive?
    Replace(link);
    old->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(Ping{}))));
    old->deadline_us = clock_us_ + kProbeUs;
    return Wake(old);
  }
  if (old) {
    peer.active = link;
    return Replace(old);
  }
  Use(link, peer);
}

void TransportImpl::Use(Link* link, Peer& peer) {
  peer.active = link;
  peer.stats.connected_since_us = now_us_;
  peer.stats.last_error.clear();
  Emit(Connected{peer.info.id});
}

void TransportImpl::Replace(Link* link) {
  link->state = Link::State::kDraining;
  link->still_heard = true;
  link->deadline_us = clock_us_ + kReplacedLingerUs;
  link->drains_until_us = clock_us_ + kDrainMaxUs;
  Wake(link);
  int more = 0;  // the newest are at the end
  for (auto other = links_.rbegin(); other != links_.rend(); ++other)
    if (IsSpare(**other, link->peer) && ++more > kDrainingMax) (*other)->drains_until_us = (*other)->deadline_us = clock_us_;
}

// The peer talks over a link that has been replaced. Rests of what it sent before, or all that is left to it: the link that counts is asked,
// and only if nothing comes of it is it given up. One question at a time, and none while it is heard.
void TransportImpl::Doubt(Peer& peer) {
  Link* const link = peer.active;
  // Where it is still busy with what was given to it an answer may take longer, on a thin line, and nothing is wrong.
  if (!link || link->deadline_us != 0 || link->sending() || clock_us_ - link->heard_us < kDoubtAfterUs) return;
  link->deadline_us = clock_us_ + kDoubtedUs;
  link->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(Ping{}))));
  Wake(link);
}

// Replaced, and still there.
bool TransportImpl::IsSpare(const Link& link, NodeId peer) const {
  return link.peer == peer && link.state == Link::State::kDraining && link.still_heard && !link.failed();
}

// The link that counted is gone: the newest of those that it had replaced, or had not let in, takes its place.
void TransportImpl::UseSpare(Peer& peer) {
  for (auto link = links_.rbegin(); link != links_.rend(); ++link) {
    if (!IsSpare(**link, peer.info.id)) continue;
    (*link)->state = Link::State::kReady;
    (*link)->still_heard = false;
    (*link)->deadline_us = 0;
    return Use(link->get(), peer);
  }
}

// No longer this peer's link. With a reason: tells if it was the one that counted.
void TransportImpl::Detach(Link* link, const std::string& why) {
  for (auto& peer : peers_) {
    if (peer->dialling == link) {
      peer->dialling = nullptr;
      peer->stats.last_error = why;
      BackOff(*peer);
    }
    if (peer->active != link) continue;
    peer->active = nullptr;
    peer->stats.dropped += peer->queue.Clear();
    peer->stats.last_seen_us = now_us_ - (clock_us_ - link->heard_us);
    peer->stats.last_error = why;
    BackOff(*peer);
    Emit(Disconnected{peer->info.id, why});
    if (!isolated_) UseSpare(*peer);
  }
}

// The hello, or a later frame, is not acceptable.
void TransportImpl::Refuse(Link* link, const std::string& why) {
  if (link->state == Link::State::kClosing || link->state == Link::State::kClosed) return;
  Tell(link->address(), Name(link) + ": " + why);
  Detach(link, why);
  link->state = Link::State::kDraining;
  link->still_heard = false;
  link->deadline_us = clock_us_ + kRefusedLingerUs;
}

void TransportImpl::OnFailed(Link* link) {
  const std::string& why = link->failure();
  const bool handshake = link->state == Link::State::kTls || link->state == Link::State::kHello || joining_;
  if ((handshake && !link->dialled()) || link->misbehaved()) Tell(link->address(), Name(link) + ": " + why);
  for (auto& peer : peers_)
    if (handshake && !link->misbehaved() && peer->dialling == link && peer->reported != why) {
      Tell(link->address(), "node " + std::to_string(peer->info.id.value) + ", dialled: " + why);
      peer->reported = why;  // it will be dialled again and again
    }
  Detach(link, why);
  link->Close();
}

void TransportImpl::CheckDeadlines() {
  for (size_t i = 0; i < links_.size(); i++) {
    Link* link = links_[i].get();
    if (link->state == Link::State::kClosing || link->state == Link::State::kClosed) continue;
    if (link->deadline_us != 0 && clock_us_ >= link->deadline_us) {
      if (link->state == Link::State::kDraining) {
        // A replaced link may be in the middle of a large message, in either direction.
        const bool goes_on = link->sending() || clock_us_ - link->heard_us < kReplacedLingerUs / 2;
        if (link->still_heard && goes_on && clock_us_ < link->drains_until_us)
          link->deadline_us = clock_us_ + kReplacedLingerUs / 2;
        else
          link->Close();
        continue;
      }
      link->Fail(link->state == Link::State::kConnecting ? "could not connect: timed out"
                 : link->state == Link::State::kReady    ? "it does not answer"
                                                         : "it did not say who it is in time");
      OnFailed(link);
    } else if (link->state == Link::State::kReady && clock_us_ - link->heard_us >= options_.silence_max_us) {
      link->Fail("nothing was heard of it for " + std::to_string(options_.silence_max_us / 1'000'000) + " seconds");
      OnFailed(link);
    } else if (link->state == Link::State::kReady &&
               clock_us_ - std::max(link->heard_us, link->pinged_us) >= options_.ping_after_us) {
      link->pinged_us = clock_us_;
      link->SendNow(std::make_shared<Bytes>(EncodeFrame(WireMessage(Ping{}))));
      Wake(link);
    }
  }
  if (isolated_ || joined_) return;
  for (auto& peer : peers_)
    if (!peer->active && !peer->dialling && !peer->resolving && clock_us_ >= peer->next_dial_us) Dial(*peer);
}

void Count(const Link& link, PeerStats* stats) {
  stats->bytes_sent += link.bytes_sent();
  stats->bytes_received += link.bytes_received();
  stats->messages_sent += link.messages_sent;
}

void TransportImpl::Sweep() {
  std::erase_if(links_, [this](const auto& link) {
    if (link->state != Link::State::kClosed || link->on_wake_list) return false;
    if (Peer* peer = Find(link->peer)) Count(*link, &peer->stats);
    return true;
  });
}

// ---- the interface ----------------------------------------------------------------------------------------------

std::vector<Event> TransportImpl::Poll(int64_t now_us) {
  now_us_ = now_us;
  for (auto& link : links_) link->budget = kBudgetPerPoll;
  for (auto& peer : peers_) peer->budget = kBudgetPerPoll;
  for (int round = 0; round < kRoundsPerPoll; round++) {
    loop_changed_ = false;
    clock_us_ = ClockUs();
    uv_run(loop_, UV_RUN_NOWAIT);
    clock_us_ = ClockUs();
    std::vector<Link*> woken;
    woken.swap(woken_);
    woken_.reserve(links_.size());
    for (Link* link : woken) {
      link->on_wake_list = false;
      Work(link);
    }
    if (round == 0) CheckDeadlines();
    Flush();
    Sweep();
    if (!loop_changed_ && woken_.empty()) break;
  }
  for (auto& link : links_)
    if (link->has_more) Wake(link.get());
  refused_events_ = 0;
  return std::exchange(events_, {});
}

int TransportImpl::NextTimeoutMs() const {
  if (loop_changed_ || !woken_.empty() || !events_.empty()) return 0;
  int64_t next = INT64_MAX;
  for (const auto& link : links_) {
    if (link->deadline_us != 0) next = std::min(next, link->deadline_us);
    if (link->state == Link::State::kReady)
      next = std::min({next, link->heard_us + options_.silence_max_us,
                       std::max(link->heard_us, link->pinged_us) + options_.ping_after_us});
  }
  if (!isolated_ && !joined_)
    for (const auto& peer : peers_)
      if (!peer->active && !peer->dialling && !peer->resolving) next = std::min(next, peer->next_dial_us);
  if (next == INT64_MAX) return -1;
  return static_cast<int>(std::clamp<int64_t>((next - ClockUs() + 999) / 1000, 0, INT32_MAX));
}

void TransportImpl::Push(Peer& peer, const Frame& frame, Worth worth) {
  peer.stats.dropped += peer.queue.Push(frame, worth, options_.send_queue_bytes_max);
}

void TransportImpl::Send(NodeId to, const Message& message) {
  Frame frame;
  for (auto& peer : peers_) {
    if (!peer->active || (to != kNobody && peer->info.id != to)) continue;
    if (!frame) frame = std::make_shared<Bytes>(EncodeFrame(message));
    Push(*peer, frame, WorthOf(message));
  }
}

void TransportImpl::SendFrame(NodeId to, Bytes frame) {
  for (auto& peer : peers_)
    if (peer->active && peer->info.id == to)
      Push(*peer, std::make_shared<Bytes>(std::move(frame)), WorthOf(Message(core::BlockMessage{})));
}

void TransportImpl::Flush() {
  for (auto& peer : peers_) {
    if (!peer->active || peer->queue.empty()) continue;
    peer->active->Flush(&peer->queue);
    if (peer->active->failed()) Wake(peer->active);
  }
}

void TransportImpl::SetIsolated(bool isolated) {
  if (isolated_ == isolated) return;
  isolated_ = isolated;
  clock_us_ = ClockUs();
  if (isolated)
    for (auto& link : links_) {
      Detach(link.get(), "this server has cut its links");
      link->Close();
    }
  for (auto& peer : peers_) {
    peer->backoff_us = 0;
    peer->next_dial_us = clock_us_;
  }
}

void TransportImpl::SetDeaf(const std::vector<NodeId>& peers) {
  for (auto& peer : peers_) {
    peer->unheard = std::find(peers.begin(), peers.end(), peer->info.id) != peers.end();
    if (!peer->unheard) peer->next_dial_us = clock_us_;
  }
}

std::vector<PeerStats> TransportImpl::stats() const {
  std::vector<PeerStats> all;
  for (const auto& peer : peers_) {
    PeerStats s = peer->stats;
    s.connected = peer->active != nullptr;
    s.queued_bytes = peer->queue.bytes();
    if (peer->active) s.last_seen_us = now_us_ - (clock_us_ - peer->active->heard_us);
    for (const auto& link : links_)
      if (link->peer == peer->info.id) Count(*link, &s);
    all.push_back(std::move(s));
  }
  return all;
}

std::unique_ptr<TransportImpl> Make(const TransportOptions& options, std::vector<PeerInfo> peers,
                                    Environment environment, Bytes genesis, bool joining, std::string* error) {
  auto transport =
      std::make_unique<TransportImpl>(options, std::move(peers), std::move(environment), std::move(genesis), joining);
  if (!transport->Start(error)) return nullptr;
  return transport;
}

}  // namespace

std::unique_ptr<Transport> Transport::Create(const TransportOptions& options, std::vector<PeerInfo> peers,
                                             std::vector<std::pair<std::string, std::string>> environment,
                                             Bytes genesis, std::string* error) {
  return Make(options, std::move(peers), std::move(environment), std::move(genesis), false, error);
}

std::unique_ptr<Transport> Transport::CreateJoining(const TransportOptions& options, PeerInfo founder,
                                                    std::string* error) {
  return Make(options, {std::move(founder)}, {}, {}, true, error);
}

}  // namespace dadbs::net
