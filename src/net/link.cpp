/*
 * link.cpp: see link.h.
 */
#include "link.h"

#include <netdb.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "codec.h"

namespace dadbs::net {

using namespace core;

namespace {

constexpr size_t kReadBufferBytes = 64u << 10;
constexpr size_t kTlsRecordBytes = 16u << 10;
constexpr size_t kOutBytesMax = 512u << 10;    // encrypted ahead of the socket
constexpr uint64_t kFlushBytesMax = 8u << 20;  // in one go: the others want their turn
constexpr size_t kKeptBufferBytes = 1u << 20;
constexpr size_t kReceivedBytesMax = 1u << 20;  // encrypted, not looked at yet: then nothing more is read from the socket
constexpr unsigned kKeepAliveSeconds = 10;

// One for all links: what is read is copied to the link at once, in the same callback.
uint8_t* ReadBuffer() {
  static std::array<uint8_t, kReadBufferBytes> buffer;
  return buffer.data();
}

Link* Of(void* data) { return static_cast<Link*>(data); }

}  // namespace

Link::Link(LinkOwner& owner, uv_loop_t* loop, bool dialled) : owner_(owner), dialled_(dialled) {
  uv_tcp_init(loop, &tcp_);
  tcp_.data = connect_request_.data = write_request_.data = this;
}

// ---- libuv's callbacks ------------------------------------------------------------------------------------------

void Link::OnConnect(uv_connect_t* request, int status) noexcept {
  Link* self = Of(request->data);
  if (status == UV_ECANCELED) return;
  self->error_ = status;
  self->connected_ = status == 0;
  self->owner_.Wake(self);
}

void Link::OnAllocate(uv_handle_t*, size_t, uv_buf_t* buffer) noexcept {
  *buffer = uv_buf_init(reinterpret_cast<char*>(ReadBuffer()), kReadBufferBytes);
}

void Link::OnRead(uv_stream_t* stream, ssize_t bytes, const uv_buf_t* buffer) noexcept {
  Link* self = Of(stream->data);
  if (bytes == 0) return;
  if (bytes < 0) {
    self->error_ = static_cast<int>(bytes);
    uv_read_stop(stream);
  } else if (self->peer == kNobody && self->received_.size() + static_cast<size_t>(bytes) > self->stranger_bytes_left) {
    self->error_ = UV_E2BIG;
    uv_read_stop(stream);
  } else {
    self->bytes_received_ += static_cast<uint64_t>(bytes);
    if (self->state == State::kDraining && !self->still_heard) return;
    try {
      auto* from = reinterpret_cast<const uint8_t*>(buffer->base);
      self->received_.insert(self->received_.end(), from, from + bytes);
      if (self->received_.size() >= kReceivedBytesMax) {
        uv_read_stop(stream);
        self->paused_ = true;
      }
    } catch (const std::bad_alloc&) {
      self->out_of_memory_ = true;
      uv_read_stop(stream);
    }
  }
  self->owner_.Wake(self);
}

void Link::OnWritten(uv_write_t* request, int status) noexcept {
  Link* self = Of(request->data);
  self->writing_ = false;
  if (status == UV_ECANCELED) return;
  if (status != 0) self->error_ = status;
  self->bytes_sent_ += self->out_.size() - self->out_at_;
  self->out_.clear();
  self->out_at_ = 0;
  self->owner_.Wake(self);
}

void Link::OnClosed(uv_handle_t* handle) noexcept { Of(handle->data)->state = State::kClosed; }

// ---- beginning and end ------------------------------------------------------------------------------------------

void Link::FindAddress() {
  sockaddr_storage storage{};
  int bytes = sizeof(storage);
  char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
  if (uv_tcp_getpeername(&tcp_, reinterpret_cast<sockaddr*>(&storage), &bytes) == 0)
    getnameinfo(reinterpret_cast<sockaddr*>(&storage), static_cast<socklen_t>(bytes), host, sizeof(host), port,
                sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
  std::string text = host;
  if (text.rfind("::ffff:", 0) == 0) text.erase(0, 7);
  address_ = text.find(':') == std::string::npos ? text + ":" + port : "[" + text + "]:" + port;
}

bool Link::StartReading(std::string* why) {
  FindAddress();
  uv_tcp_nodelay(&tcp_, 1);
  uv_tcp_keepalive(&tcp_, 1, kKeepAliveSeconds);
  int status = uv_read_start(stream(), OnAllocate, OnRead);
  owner_.LoopChanged();
  state = State::kTls;
  if (status != 0) *why = uv_strerror(status);
  return status == 0;
}

bool Link::Accept(uv_stream_t* server, std::string* why) {
  int status = uv_accept(server, stream());
  if (status != 0) return *why = uv_strerror(status), false;
  return StartReading(why);
}

bool Link::Connect(const sockaddr* address, std::string* why) {
  int status = uv_tcp_connect(&connect_request_, &tcp_, address, OnConnect);
  owner_.LoopChanged();
  if (status != 0) *why = uv_strerror(status);
  return status == 0;
}

bool Link::StartTls(const TlsIdentity& identity, TlsSession::AcceptsKey accepts, std::string* why) {
  return tls_.Start(identity, !dialled_, std::move(accepts), why);
}

void Link::Close() {
  if (state == State::kClosing || state == State::kClosed) return;
  state = State::kClosing;
  uv_close(reinterpret_cast<uv_handle_t*>(&tcp_), OnClosed);
  owner_.LoopChanged();
}

// ---- receiving --------------------------------------------------------------------------------------------------

Link::Progress Link::Next(ByteView* frame) {
  if (failed() || state == State::kClosing || state == State::kClosed) return Progress::kNone;
  if (out_of_memory_) Fail("out of memory");
  if (state == State::kConnecting) {
    if (error_ != 0) Fail(std::string("could not connect: ") + uv_strerror(error_));
    std::string why;
    if (!connected_ || failed()) return Progress::kNone;
    if (!StartReading(&why)) return Fail(why), Progress::kNone;
    return Progress::kConnected;
  }
  if (!tls_.started()) return Progress::kNone;
  if (state != State::kTls) {  // what has been decrypted goes first: memory is that of what was received last
    const Progress progress = ReadFrame(frame);
    if (progress != Progress::kNone || failed() || received_.empty()) return progress;
  }
  if (!TakeReceived()) return Progress::kNone;
  if (state == State::kTls) {
    std::string why;
    auto outcome = tls_.Handshake(&why);
    if (outcome == TlsSession::Outcome::kDone) return state = State::kHello, Progress::kSecured;
    if (outcome == TlsSession::Outcome::kFailed) Fail(why);
    if (error_ == UV_EOF) Fail("the connection was closed during the TLS handshake");
    if (error_ == UV_E2BIG) Fail("it sends too much before it has said who it is");
    if (error_ != 0) Fail(uv_strerror(error_));
    return Progress::kNone;
  }
  return ReadFrame(frame);
}

// What has come goes to TLS, and the socket is read again.
bool Link::TakeReceived() {
  if (received_.empty()) return true;
  stranger_bytes_left -= peer == kNobody ? received_.size() : 0;
  if (!tls_.Feed(received_)) return Fail("out of memory"), false;
  received_.clear();
  if (received_.capacity() > kKeptBufferBytes) received_.shrink_to_fit();
  if (!std::exchange(paused_, false) || error_ != 0) return true;
  owner_.LoopChanged();
  const int status = uv_read_start(stream(), OnAllocate, OnRead);
  if (status != 0) Fail(uv_strerror(status));
  return status == 0;
}

// Decrypts what there is, one TLS record at a time, until a frame is whole.
Link::Progress Link::ReadFrame(ByteView* frame) {
  for (;;) {
    const size_t have = in_.size() - in_at_;
    if (have >= kFrameHeaderBytes) {
      core::Reader r(ByteView(in_).subspan(in_at_));
      const uint32_t bytes = r.U32();
      if (bytes == 0 || bytes > frame_bytes_max) {
        misbehaved_ = true;
        return Fail("it sends a frame of " + std::to_string(bytes) + " bytes"), Progress::kNone;
      }
      if (have >= kFrameHeaderBytes + bytes) {
        *frame = ByteView(in_).subspan(in_at_ + kFrameHeaderBytes, bytes);
        in_at_ += kFrameHeaderBytes + bytes;
        return Progress::kFrame;
      }
      // Memory in proportion to what has come, not to what is announced.
      if (in_at_ == 0 && have >= bytes / 4) in_.reserve(kFrameHeaderBytes + bytes + kTlsRecordBytes);
    }
    if (!Decrypt()) return Progress::kNone;
  }
}

bool Link::Decrypt() {
  if (in_at_ > 0) {  // all whole frames are used up: what is left is the beginning of one
    in_.erase(in_.begin(), in_.begin() + static_cast<ptrdiff_t>(in_at_));
    in_at_ = 0;
    if (in_.empty() && in_.capacity() > kKeptBufferBytes) in_.shrink_to_fit();
  }
  const size_t before = in_.size();
  in_.resize(before + kTlsRecordBytes);
  size_t got = 0;
  std::string why;
  auto outcome = tls_.Read(in_.data() + before, kTlsRecordBytes, &got, &why);
  in_.resize(before + (outcome == TlsSession::Outcome::kDone ? got : 0));
  if (outcome == TlsSession::Outcome::kDone) return true;
  if (outcome == TlsSession::Outcome::kClosed) Fail("the peer closed the connection");
  if (outcome == TlsSession::Outcome::kFailed) Fail(why);
  if (error_ != 0 && received_.empty()) Fail(error_ == UV_EOF ? "the peer closed the connection" : uv_strerror(error_));
  return false;
}

// ---- sending ----------------------------------------------------------------------------------------------------

void Link::SendNow(Frame frame) { control_.push_back(std::move(frame)); }

bool Link::NextFrame(SendQueue* queue) {
  if (current_) return true;
  if (!control_.empty()) {
    current_ = std::move(control_.front());
    control_.pop_front();
  } else if (queue) {
    current_ = queue->Pop();
    if (current_) messages_sent++;
  }
  current_at_ = 0;
  return current_ != nullptr;
}

// Fills out_. Small frames share a TLS record; large ones are encrypted from where they are.
bool Link::Encrypt(SendQueue* queue) {
  while (out_.size() < kOutBytesMax && NextFrame(queue)) {
    plain_.clear();
    ByteView record;
    while (plain_.size() < kTlsRecordBytes && NextFrame(queue)) {
      ByteView rest = ByteView(*current_).subspan(current_at_);
      size_t n = std::min(rest.size(), kTlsRecordBytes - plain_.size());
      if (plain_.empty() && n == kTlsRecordBytes) {
        record = rest.first(n);
        current_at_ += n;
        break;
      }
      plain_.insert(plain_.end(), rest.begin(), rest.begin() + static_cast<ptrdiff_t>(n));
      current_at_ += n;
      if (current_at_ == current_->size()) current_ = nullptr;
    }
    if (!tls_.Write(record.empty() ? ByteView(plain_) : record)) return Fail("could not encrypt"), false;
    if (current_ && current_at_ == current_->size()) current_ = nullptr;
    tls_.TakeOutgoing(&out_);
  }
  return true;
}

void Link::Flush(SendQueue* queue) {
  const uint64_t sent_before = bytes_sent_;
  while (!writing_ && state != State::kConnecting && state != State::kClosing && state != State::kClosed) {
    if (!tls_.started()) return;
    tls_.TakeOutgoing(&out_);  // the handshake's
    if (state != State::kTls && !failed() && !Encrypt(queue)) return;
    if (out_.size() == out_at_ || !WriteOut()) return;
    if (bytes_sent_ - sent_before > kFlushBytesMax) return owner_.Wake(this);
  }
}

// True: the socket took it all.
bool Link::WriteOut() {
  uv_buf_t buffer =
      uv_buf_init(reinterpret_cast<char*>(out_.data() + out_at_), static_cast<unsigned>(out_.size() - out_at_));
  int n = uv_try_write(stream(), &buffer, 1);
  if (n < 0 && n != UV_EAGAIN) return Fail(uv_strerror(n)), false;
  if (n > 0) {
    out_at_ += static_cast<size_t>(n);
    bytes_sent_ += static_cast<uint64_t>(n);
  }
  if (out_at_ == out_.size()) {
    out_.clear();
    out_at_ = 0;
    return true;
  }
  if (failed()) return false;
  buffer = uv_buf_init(reinterpret_cast<char*>(out_.data() + out_at_), static_cast<unsigned>(out_.size() - out_at_));
  int status = uv_write(&write_request_, stream(), &buffer, 1, OnWritten);
  owner_.LoopChanged();
  if (status != 0) return Fail(uv_strerror(status)), false;
  writing_ = true;
  return false;
}

}  // namespace dadbs::net
