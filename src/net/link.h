/*
 * link.h: one TCP connection with TLS and frames on it. What the frames mean is the transport's business.
 *
 * libuv's callbacks are noexcept: they append what came to received_, note what happened, and put the link on the
 * owner's list. All work (decryption, frames, writing) is done by Process and Flush, from the transport's Poll, where
 * an exception may pass. A link lives until libuv has confirmed its closing.
 */
#pragma once

#include <uv.h>

#include <deque>
#include <string>

#include "send_queue.h"
#include "tls.h"

namespace dadbs::net {

class Link;

// What links need of the transport; called from libuv's callbacks too.
class LinkOwner {
 public:
  virtual void Wake(Link* link) noexcept = 0;  // Process and Flush it soon
  virtual void LoopChanged() noexcept = 0;     // the loop must run before the next wait
 protected:
  ~LinkOwner() = default;
};

// What may still be taken in.
struct LinkBudget {
  uint32_t frames = 0;
  int64_t bytes = 0;
};

class Link {
 public:
  enum class State {
    kConnecting,  // TCP
    kTls,         // handshake
    kHello,       // the peer has proved its key, its hello is awaited
    kReady,
    kDraining,  // replaced, refused or served: closes at its deadline
    kClosing,   // uv_close was called
    kClosed,
  };

  Link(LinkOwner& owner, uv_loop_t* loop, bool dialled);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // -- to begin with; false: `why` says what failed, and the link is closing
  bool Accept(uv_stream_t* server, std::string* why);
  bool Connect(const sockaddr* address, std::string* why);
  bool StartTls(const TlsIdentity& identity, TlsSession::AcceptsKey accepts, std::string* why);

  // -- from Poll
  enum class Progress { kNone, kConnected, kSecured, kFrame };
  // The next thing that has happened, until kNone. After kFrame, *frame is valid until the next call. Look at failed()
  // after kNone.
  Progress Next(core::ByteView* frame);
  void SendNow(Frame frame);     // in front of any queue
  void Flush(SendQueue* queue);  // what it can take of the queue (may be null), as far as the socket does
  void Fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
  }
  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  bool sending() const { return writing_ || current_ || !control_.empty(); }
  bool misbehaved() const { return misbehaved_; }  // the peer did what no member does
  void Close();

  State state = State::kConnecting;
  bool on_wake_list = false;
  int64_t deadline_us = 0;  // 0: none
  int64_t drains_until_us = 0;  // once it was replaced: not even then, if something goes over it
  int64_t heard_us = 0;     // when bytes last came
  int64_t pinged_us = 0;
  uint64_t heard_bytes = 0;           // bytes_received() at heard_us
  core::NodeId peer = core::kNobody;  // once it has proved its key
  bool still_heard = false;           // while draining: its frames count (it was replaced, not refused)
  uint32_t frame_bytes_max = 0;       // until the hello is accepted, a small one
  uint64_t stranger_bytes_left = 0;   // what it may send before it has proved its key

  bool dialled() const { return dialled_; }
  const std::string& address() const { return address_; }
  const TlsSession& tls() const { return tls_; }
  uint64_t bytes_sent() const { return bytes_sent_; }
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t messages_sent = 0;
  LinkBudget budget;      // of this Poll, while it belongs to nobody
  bool has_more = false;  // its budget, or its peer's, is used up

 private:
  static void OnConnect(uv_connect_t* request, int status) noexcept;
  static void OnAllocate(uv_handle_t* handle, size_t, uv_buf_t* buffer) noexcept;
  static void OnRead(uv_stream_t* stream, ssize_t bytes, const uv_buf_t* buffer) noexcept;
  static void OnWritten(uv_write_t* request, int status) noexcept;
  static void OnClosed(uv_handle_t* handle) noexcept;
  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&tcp_); }
  bool StartReading(std::string* why);
  bool TakeReceived();
  Progress ReadFrame(core::ByteView* frame);
  bool Decrypt();
  bool Encrypt(SendQueue* queue);
  bool NextFrame(SendQueue* queue);
  bool WriteOut();
  void FindAddress();

  LinkOwner& owner_;
  const bool dialled_;
  uv_tcp_t tcp_;
  uv_connect_t connect_request_;
  uv_write_t write_request_;
  std::string address_;
  TlsSession tls_;
  std::string failure_;
  bool misbehaved_ = false;

  // set by callbacks
  bool connected_ = false;
  int error_ = 0;  // of libuv; UV_EOF too
  bool out_of_memory_ = false;
  bool paused_ = false;   // the socket is not read
  core::Bytes received_;  // encrypted

  core::Bytes in_;  // decrypted; frames from in_at_ on
  size_t in_at_ = 0;

  std::deque<Frame> control_;
  Frame current_;  // being encrypted
  size_t current_at_ = 0;
  core::Bytes plain_;  // small frames, gathered for one TLS record
  core::Bytes out_;    // encrypted; from out_at_ on not yet taken by the socket
  size_t out_at_ = 0;
  bool writing_ = false;  // uv_write has out_
  uint64_t bytes_sent_ = 0, bytes_received_ = 0;
};

}  // namespace dadbs::net
