"""Lines of logs, protocols, notations and reprs of other programs, and what may stand beside a value: `{}` is the value."""

# ruff: noqa: E501 - a line is a line
from __future__ import annotations

LINES = tuple(
    line
    for line in r"""
{} - - [30/Nov/2026:05:48:21 +0000] "GET /a HTTP/1.1" 200 612 "-" "curl/8.5.0"
{} - amy [30/Nov/2026:05:48:21 +0000] "POST /b HTTP/2.0" 499 0
2026/11/30 05:48:21 [error] 29#29: *3 connect() failed (111: Connection refused) while connecting to upstream, client: {}, server: _, request: "GET / HTTP/1.1"
2026/11/30 05:48:21 [error] 29#29: *3 upstream timed out, upstream: "http://{}/x", host: "a"
2026/11/30 05:48:21 [error] 29#29: *3 upstream timed out, upstream: "http://[{}]:8080/x", host: "a"
[Mon Nov 30 05:48:21.121 2026] [core:error] [pid 17:tid 3] [client {}:51324] AH00126: Invalid URI in request
[Mon Nov 30 05:48:21 2026] [error] [client {}] File does not exist
Nov 30 05:48:21 box sshd[812]: Failed password for root from {} port 51324 ssh2
Nov 30 05:48:21 box sshd[812]: Connection closed by {} port 51324 [preauth]
Nov 30 05:48:21 box sshd[812]: Did not receive identification string from {}
Nov 30 05:48:21 box haproxy[7]: {}:51324 [30/Nov/2026:05:48:21.121] http-in~ be/srv1 0/0/1/2/3 200 145 - - ---- 1/1/0/0/0 0/0 "GET / HTTP/1.1"
Nov 30 05:48:21 box kernel: [UFW BLOCK] IN=eth0 OUT= SRC={} DST=x LEN=60 TTL=51 PROTO=TCP SPT=51324 DPT=22
Nov 30 05:48:21 box dhclient[41]: DHCPACK of {} from server
Nov 30 05:48:21 box postfix/smtpd[91]: connect from unknown[{}]
Nov 30 05:48:21 box postfix/smtpd[91]: NOQUEUE: reject: RCPT from unknown[{}]: 554 5.7.1 denied
Nov 30 05:48:21 box named[9]: client @0x7f3a2b {}#53124 (x): query (cache) denied
Nov 30 05:48:21 box dovecot: imap-login: Login: rip={}, lip=x, TLS, session=<a>
Nov 30 05:48:21 box ntpd[5]: Soliciting pool server {}
Nov 30 05:48:21 box ntpd[5]: Listen normally on 3 eth0 {}:123
<34>1 2026-11-30T05:48:21Z box app 12 ID47 - peer {} gone
<34>1 2026-11-30T05:48:21Z box app 12 ID47 [origin ip="{}"] started
2026-11-30 05:48:21.121 UTC [77] FATAL:  no pg_hba.conf entry for host "{}", no encryption
2026-11-30 05:48:21.121 UTC [77] LOG:  connection received: host={} port=51324
2026-11-30 05:48:21.121 UTC [77] LOG:  listening on IPv6 address "{}", port 5432
connection to server at "{}", port 5432 failed: Connection refused
connection to server at "db" ({}), port 5432 failed: Connection refused
29:M 30 Nov 2026 05:48:21.121 * Connecting to MASTER {}:6379
29:S 30 Nov 2026 05:48:21.121 * Replica {}:6379 asks for synchronization
1:M 30 Nov 2026 05:48:21.121 # Possible SECURITY ATTACK detected. Connection from {}:51324 aborted.
Error 111 connecting to {}:6379. Connection refused.
MOVED 3999 {}:6381
ERROR 1045 (28000): Access denied for user x from {}
[Server] Aborted connection 8 to db: unconnected user: unauthenticated host: {} (This connection closed normally)
{"t":{"$date":"2026-11-30T05:48:21.121Z"},"s":"I","c":"NETWORK","id":22943,"ctx":"listener","msg":"Connection accepted","attr":{"remote":"{}:51324","connectionId":3}}
{"level":"warn","ts":1764481701.12,"msg":"peer gone","peer":"{}","n":3}
{"level":"warn","msg":"failed to reach {}, giving up","n":3}
{"addr":"{}"}
{"a":["{}","x"]}
{\"addr\":\"{}\",\"n\":3}
{"log":"{\"addr\":\"{}\"}\n","stream":"stderr"}
level=warn msg="peer gone" peer={} n=3
level=warn msg="peer {} gone" n=3
level=warn err="dial tcp {}:443: connect: connection refused"
level=warn err="dial tcp [{}]:443: i/o timeout"
dial {}
dial tcp {}: connect: no route to host
dial tcp [{}]: missing port in address
read tcp {}:51324->{}:443: read: connection reset by peer
read tcp [{}]:51324->[{}]:443: read: connection reset by peer
write udp {}: sendto: network is unreachable
tcp[{}] closed
tcp{{}} closed
listen tcp {}:80: bind: address already in use
lookup x on {}:53: no such host
x509: certificate is valid for {}, not y
&net.TCPAddr{IP:{}, Port:443, Zone:""}
{IP:{} Port:443 Zone:}
&{{} 443 }
map[addr:{} n:3]
map[peer:[{}]:443]
netip.AddrPort{addr:{}}
java.net.ConnectException: Connection refused: /{}:443
java.net.ConnectException: Connection refused: db1/{}:443
io.netty.channel.AbstractChannel$AnnotatedConnectException: Connection refused: /[{}]:443
java.net.SocketException: Connection reset by /{}
Failed to connect to x/[{}]:443
WARN  [Producer clientId=p1] Connection to node -1 (/{}:9092) could not be established. (NetworkClient)
INFO Opening socket connection to server {}:2181. Will not attempt to authenticate
[SocketChannel local=/x:1 remote=/{}:7000]
channel [id: 0x1a2b3c4d, L:/{}:51324 - R:/{}:443]
Member [{}]:5701 - this
ConnectionRefusedError: [Errno 111] Connect call failed ('{}', 443)
ConnectionRefusedError: [Errno 111] Connect call failed ('{}', 443, 0, 0)
OSError: [Errno 98] error while attempting to bind on address ('{}', 443, 0, 0): address already in use
<socket.socket fd=3, family=10, type=1, proto=6, laddr=('{}', 51324, 0, 0), raddr=('{}', 443, 0, 0)>
IPv6Address('{}')
ip_address('{}')
ValueError: '{}' does not appear to be an IPv4 or IPv6 network
b'{}'
[b'{}', b'x']
('{}',)
{'ip': '{}', 'n': 3}
{'{}': 3}
{"{}": 3}
Namespace(host='{}', port=443)
Peer(address='{}', port=443)
Peer(address={}, port=443)
HTTPConnectionPool(host='{}', port=80): Max retries exceeded with url: /x
Cannot connect to host {}:443 ssl:default [Connect call failed]
peer=ipv6:[{}]:50051
ipv6:%5B{}%5D:50051
ipv4:{}:50051
Error: connect ECONNREFUSED {}:443
Error: connect EHOSTUNREACH {}:443 - Local (:::0)
Error: listen EADDRINUSE: address already in use {}:443
{ errno: -111, code: 'ECONNREFUSED', syscall: 'connect', address: '{}', port: 443 }
{ address: '{}', family: 'IPv6', port: 443 }
Os { code: 111, kind: ConnectionRefused, message: "Connection refused" } at {}:443
V6([{}]:443)
SocketAddr { ip: {}, port: 443 }
Some({})
Ok(Some("{}"))
peer_addr=Some([{}]:443)
thread 'main' panicked at 'cannot bind {}:443', src
tonic::transport error { peer: {} }
System.Net.Sockets.SocketException (111): Connection refused [{}]:443
System.Net.Sockets.SocketException (111): Connection refused {}:443
{{}}
{{}:443}
|{}|
/{}/
<{}>
<ip>{}</ip>
<peer address="{}" port="443"/>
<peer address='{}'/>
<![CDATA[{}]]>
&lt;ip&gt;{}&lt;/ip&gt;
peer: {}
peer: '{}'
peer: "{}"
- {}
- ip: {}
  - "{}"
* {}
** {}
**{}**
`{}`
_{}_
~{}~
${}
#{}
@{}
!{}
?{}
&{}
={}
+{}
a={}&b=3
?ip={}&n=3
/a?ip={}
/a?ip={}#x
/v1/peers/{}
/v1/peers/{}/stats
http://{}/
http://{}:8080/a
http://[{}]:8080/a
https://[{}]/a
ftp://[{}]/
tcp://{}:443
tcp://[{}]:443
udp:{}:53
udp6:[{}]:53
tcp6 0 0 {}:443 :::* LISTEN
tcp6       0      0 {}:22      {}:51324     ESTABLISHED
inet6 {}/64 scope global
inet {}/24 brd x scope global eth0
inet6 {} prefixlen 64 scopeid 0x20<link>
default via {} dev eth0 metric 100
{} dev eth0 lladdr 02:00:00:00:00:01 REACHABLE
05:48:21.121 IP6 {} > ff02::1: ICMP6, neighbor solicitation, length 32
05:48:21.121 IP6 {}.51324 > {}.443: Flags [S], seq 1
05:48:21.121 IP {}.51324 > x.443: Flags [S]
ping6: sendto {}: No route
PING {}({}) 56 data bytes
64 bytes from {}: icmp_seq=1 ttl=64 time=0.3 ms
64 bytes from {}: icmp_seq=1
traceroute to {} ({}), 30 hops max
 3  {}  1.2 ms  1.1 ms
curl: (7) Failed to connect to {} port 443 after 3 ms: Couldn't connect
* Trying {}:443...
* Trying [{}]:443...
* Connected to x ({}) port 443 (#0)
ssh: connect to host {} port 22: Connection refused
X-Forwarded-For: {}, 10.0.0.1
X-Real-IP: {}
Forwarded: for="[{}]:51324";proto=https
Forwarded: for={};by=x
Via: 1.1 {}
Received: from x ([{}]) by y
Received: from x (x [IPv6:{}]) by y with ESMTPS
Received: from [IPv6:{}] (unknown)
v=spf1 ip6:{}/48 -all
v=spf1 ip4:{} ~all
AAAA {}
x. 300 IN AAAA {}
x. 300 IN A {}
a,{},b
a;{};b
a|{}|b
"a","{}","b"
2026-11-30,{},443,closed
ip,{}
{},443
{};443
{} 443
{} closed
{}: closed
{}:443: closed
{}:443
{}:443,
{}:443)
({})
({}:443)
[{}]
[{}]:443
[{}]:443: closed
"{}"
'{}'
"{}:443"
"[{}]:443"
({}),
{}.
{},
{}!
{}?
{}->{}
{} -> {}
{}=>x
{}<->{}
{}-{}
{} - {}
{}..{}
{}/64
{}/128,
{}/64:
{}%eth0
{}%25eth0
{}%eth0:443
[{}%eth0]:443
{}%12
[{}%12]
{}#53
{}#443: closed
{}@eth0
eth0@{}
{}|443
{}:eth0
eth0:{}
eth0={}
eth0:{}:443
eth0[{}]
eth0/{}
fd=3:{}
fd3:{}
peer#3:{}
n3:{}
3:{}
 3: {}
12:30:45 {}
12:30:45:{}
12:30:45,{}
12:30:45.123456 {}
[12:30:45] {}
[12:30:45]{}
[1]{}
#1 {}
v1:{}
id:{}
id={}
id={};n=3
id:{},n:3
ip:{}
ip: {}
ip={}
ip=[{}]
ip = {}
ip->{}
ip/{}
ip~{}
ip+{}
ip.{}
ip-{}
ip_{}
ip{}
IP{}
addr{}
addr_{}
host:{}
host:{}:443
host={}:443
host=[{}]:443
host="{}"
hosts=[{},x]
hosts=[x,{}]
hosts={x,{}}
peers:[{} x]
peers: [{}, x]
peers=({} x)
src={} dst=x
src={}:51324 dst={}:443
src:{}->dst:{}
from={} to={}
from {} to {}
from[{}]to[{}]
[from:{}]
[from={}]
(from {})
(from:{})
client={},x=3
client:{};
client:[{}]:443;
client_addr:{}
remote_addr={}
remote_addr="{}"
remoteAddr:"{}"
RemoteAddr:{}
RemoteAddr: {}:51324
peer_ip_{}
node-{}
node:{}
node_{}_up
node({})
node<{}>
node{{}}
node@{}
x@{}:443
x@[{}]:443
root@{}:/etc
user@{}
scp a root@[{}]:/b
rsync://{}/m
nfs {}:/export
mount.nfs: [{}]:/export
x{}
x{}y
x{}:443
{}y
{}up
{}and
{} and
3{}
{}x3
x[{}]
x[{}]:443
x[{}]=3
x[{}, 3]
x["{}"]
x['{}']
x({})
x("{}")
x('{}', 443)
x<{}>
x={}
x={},y=3
x={};y=3
x={}&y=3
x={} y=3
x:={}
x:{}
x: {}
x:{},
x:[{}]
x:"{}"
x="{}"
x='{}'
x=[{}]
x=({})
x=<{}>
x=`{}`
x=\"{}\"
x=\\\"{}\\\"
x='[{}]:443'
x,{}
x;{}
x|{}
x/{}
x\{}
x\n{}
x\t{}
x\n{}\ny
x\t{}\ty
\n{}\n
\r\n{}\r\n
\x1b[31m{}\x1b[0m
\u001b[31m{}\u001b[0m
\"{}\"
\'{}\'
%22{}%22
%5B{}%5D
%20{}%20
x%3D{}
x%3D%22{}%22%7D
%2F{}%2F
&quot;{}&quot;
&#39;{}&#39;
&#91;{}&#93;
&lt;{}&gt;
x=&quot;{}&quot;
x&amp;ip={}
\x5b{}\x5d
\u005b{}\u005d
\u0022{}\u0022
\u003c{}\u003e
Array ( [ip] => {} )
[ip] => {}
array(1) { ["ip"]=> string(12) "{}" }
a:1:{s:2:"ip";s:12:"{}";}
#<Peer ip={}>
#<Peer ip="{}">
#<TCPSocket:fd 3, AF_INET6, {}, 443>
#<IPAddr: IPv6:{}/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff>
{:ip "{}"}
{:ip=>"{}"}
(:ip {})
{ip,"{}"}
{"{}",443}
{<<"{}">>,443}
%{ip: "{}"}
Just "{}"
object {ip={}, port=443}
Peer{ip={}, port=443}
Peer{ip='{}', port=443}
Peer[ip={},port=443]
Peer [ip={}]
Peer { ip: "{}", port: 443 }
Peer { ip: {} }
InetAddress[{}]
Address=[{}]
endpoint=[{}]:443]
inet_pton(AF_INET6, "{}", &sin6_addr)
{sa_family=AF_INET6, sin6_port=htons(443), inet_pton(AF_INET6, "{}", &sin6_addr), sin6_scope_id=0}
227 Entering Extended Passive Mode (|||5282|)|2|{}|5282|
EPRT |2|{}|5282|
EHLO [IPv6:{}]
EHLO [{}]
550 5.7.1 [{}] blocked
SIP/2.0/UDP {}:5060;branch=z9hG4bK
SIP/2.0/UDP [{}]:5060;rport
c=IN IP6 {}
c=IN IP4 {}
a=candidate:1 1 UDP 2130706431 {} 51324 typ host
a=candidate:1 1 UDP 1694498815 x 1 typ srflx raddr {} rport 9
o=- 3 3 IN IP6 {}
mongodb: connection {}:27017 closed
mqtt: client a ({}:51324) gone
amqp: accepting AMQP connection <0.12.0> ({}:51324 -> {}:5672)
closing AMQP connection <0.12.0> ({}:51324 -> {}:5672)
nats: [{}:51324 - cid:3] slow consumer
[{}]:51324 - cid:3
etcd: rejected connection from "{}:51324" (error "EOF")
raft: peer {}:2380 became active
consul: EventMemberJoin: n1 {}
zk: /{}:51324
zk: Accepted socket connection from /{}:51324
Session 0x14ed93111f20004 for server {}/{}:2181, unexpected error
GET /a HTTP/1.1\r\nHost: [{}]:8080\r\n\r\n
Host: {}
Host: [{}]
Host: {}:8080
time="2026-11-30T05:48:21Z" level=error msg="x" remote.addr="{}:51324"
I1130 05:48:21.121 7 x.go:12] peer "{}" gone
E1130 05:48:21.121 7 x.go:12] "Failed" err="dial {}" n=3
W1130 05:48:21.121 7 server.go:3]{} slow
2026-11-30T05:48:21.121Z WARN  meta::rpc: peer {} gone
2026-11-30T05:48:21.121Z WARN meta::rpc{peer={}}: gone
span{addr={}}
span{addr={} n=3}
span[addr={}]
trace id=3 peer.ip:{}
net.peer.ip={}
peer.ip={} peer.port=443
metric{ip="{}"} 3
metric{ip="{}",n="3"} 3
metric,ip={} value=3
metric.{}.count 3
metric;ip={} 3
ip:{}|#x
CEF:0|a|b|1|100|x|5|src={} dst=y
LEEF:1.0|a|b|1|x|src={}
devname=x srcip={} srcport=3
type=AVC msg=audit(1764481701.121:3): addr={} res=failed
type=USER_LOGIN msg=audit(1764481701.121:3): hostname={} addr=? terminal=ssh
authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={}
""".splitlines()
    if line
)
