# two-vpns-before-tor:sys-net: resolv.conf [], hosts {'sys-net': '10.137.0.10'}
inside lab:isp ip link add isp0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:sys-net)"
inside lab:isp ip link set dev isp0 group 0 alias "two-vpns-before-tor" up
inside lab:isp ip addr add 100.64.0.1/32 dev isp0
inside lab:isp ip neigh replace 100.64.0.2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 100.64.0.2/32 proto static dev isp0
inside lab:isp ip addr add 2001:db8:a::1/128 dev isp0 nodad
inside lab:isp ip neigh replace 2001:db8:a::2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 2001:db8:a::2/128 proto static dev isp0
inside two-vpns-before-tor:sys-net ip link set dev eth0 group 1 up
inside two-vpns-before-tor:sys-net ip addr add 100.64.0.2/32 dev eth0
inside two-vpns-before-tor:sys-net ip neigh replace 100.64.0.1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-net ip route replace 100.64.0.1/32 proto static dev eth0
inside two-vpns-before-tor:sys-net ip route replace 0.0.0.0/0 proto static via 100.64.0.1 dev eth0 onlink
inside two-vpns-before-tor:sys-net ip addr add 2001:db8:a::2/128 dev eth0 nodad
inside two-vpns-before-tor:sys-net ip neigh replace 2001:db8:a::1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-net ip route replace 2001:db8:a::1/128 proto static dev eth0
inside two-vpns-before-tor:sys-net ip route replace ::/0 proto static via 2001:db8:a::1 dev eth0 onlink
inside two-vpns-before-tor:sys-net ip link set dev eth0 alias "uplink isp0 55c4b3d628b3f6bf" up
# two-vpns-before-tor:sys-firewall: resolv.conf [], hosts {'sys-firewall': '10.137.0.11'}
inside two-vpns-before-tor:sys-net ip link add vif11.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:sys-firewall)"
inside two-vpns-before-tor:sys-net ip link set dev vif11.0 group 2 alias "sys-firewall" up
inside two-vpns-before-tor:sys-net ip addr add 10.137.0.10/32 dev vif11.0
inside two-vpns-before-tor:sys-net ip addr add fd09:24ef:4179::a89:a/128 dev vif11.0 nodad
inside two-vpns-before-tor:sys-net ip neigh replace 10.137.0.11 lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside two-vpns-before-tor:sys-net ip neigh replace fd09:24ef:4179::a89:b lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside two-vpns-before-tor:sys-net ip route replace 10.137.0.11/32 proto static dev vif11.0 src 10.137.0.10
inside two-vpns-before-tor:sys-net ip route replace fd09:24ef:4179::a89:b/128 proto static dev vif11.0 src fd09:24ef:4179::a89:a
inside two-vpns-before-tor:sys-net ip route replace 10.137.0.12/32 proto static via 10.137.0.11 dev vif11.0 onlink
inside two-vpns-before-tor:sys-net ip route replace fd09:24ef:4179::a89:c/128 proto static via fd09:24ef:4179::a89:b dev vif11.0 onlink
inside two-vpns-before-tor:sys-firewall ip link set dev eth0 group 1 up
inside two-vpns-before-tor:sys-firewall ip addr add 10.137.0.11/32 dev eth0
inside two-vpns-before-tor:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev eth0 nodad
inside two-vpns-before-tor:sys-firewall ip neigh replace 10.137.0.10 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-firewall ip neigh replace fd09:24ef:4179::a89:a lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-firewall ip route replace 10.137.0.10/32 proto static dev eth0
inside two-vpns-before-tor:sys-firewall ip route replace fd09:24ef:4179::a89:a/128 proto static dev eth0
inside two-vpns-before-tor:sys-firewall ip route replace 0.0.0.0/0 proto static via 10.137.0.10 dev eth0 onlink
inside two-vpns-before-tor:sys-firewall ip route replace ::/0 proto static via fd09:24ef:4179::a89:a dev eth0 onlink
inside two-vpns-before-tor:sys-firewall ip link set dev eth0 alias "sys-net 1dba8dbd3079827c" up
# two-vpns-before-tor:sys-vpn-outer: resolv.conf [], hosts {'sys-vpn-outer': '10.137.0.12'}
inside two-vpns-before-tor:sys-firewall ip link add vif12.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:sys-vpn-outer)"
inside two-vpns-before-tor:sys-firewall ip link set dev vif12.0 group 2 alias "sys-vpn-outer" up
inside two-vpns-before-tor:sys-firewall ip addr add 10.137.0.11/32 dev vif12.0
inside two-vpns-before-tor:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev vif12.0 nodad
inside two-vpns-before-tor:sys-firewall ip neigh replace 10.137.0.12 lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside two-vpns-before-tor:sys-firewall ip neigh replace fd09:24ef:4179::a89:c lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside two-vpns-before-tor:sys-firewall ip route replace 10.137.0.12/32 proto static dev vif12.0 src 10.137.0.11
inside two-vpns-before-tor:sys-firewall ip route replace fd09:24ef:4179::a89:c/128 proto static dev vif12.0 src fd09:24ef:4179::a89:b
inside two-vpns-before-tor:sys-vpn-outer ip link set dev eth0 group 1 up
inside two-vpns-before-tor:sys-vpn-outer ip addr add 10.137.0.12/32 dev eth0
inside two-vpns-before-tor:sys-vpn-outer ip addr add fd09:24ef:4179::a89:c/128 dev eth0 nodad
inside two-vpns-before-tor:sys-vpn-outer ip neigh replace 10.137.0.11 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-vpn-outer ip neigh replace fd09:24ef:4179::a89:b lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-vpn-outer ip route replace 10.137.0.11/32 proto static dev eth0
inside two-vpns-before-tor:sys-vpn-outer ip route replace fd09:24ef:4179::a89:b/128 proto static dev eth0
inside two-vpns-before-tor:sys-vpn-outer ip route replace unreachable 0.0.0.0/0 proto static metric 4294967294
inside two-vpns-before-tor:sys-vpn-outer ip route replace unreachable ::/0 proto static metric 4294967294
inside two-vpns-before-tor:sys-vpn-outer ip route replace 198.18.7.1/32 proto static via 10.137.0.11 dev eth0 onlink
inside two-vpns-before-tor:sys-vpn-outer ip link set dev eth0 alias "sys-firewall f1167979a25ebc4a" up
# two-vpns-before-tor:sys-vpn-inner: resolv.conf [], hosts {'sys-vpn-inner': '10.137.0.13'}
inside two-vpns-before-tor:sys-vpn-outer ip link add vif13.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:sys-vpn-inner)"
inside two-vpns-before-tor:sys-vpn-outer ip link set dev vif13.0 group 2 alias "sys-vpn-inner" up
inside two-vpns-before-tor:sys-vpn-outer ip addr add 10.137.0.12/32 dev vif13.0
inside two-vpns-before-tor:sys-vpn-outer ip addr add fd09:24ef:4179::a89:c/128 dev vif13.0 nodad
inside two-vpns-before-tor:sys-vpn-outer ip neigh replace 10.137.0.13 lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside two-vpns-before-tor:sys-vpn-outer ip neigh replace fd09:24ef:4179::a89:d lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside two-vpns-before-tor:sys-vpn-outer ip route replace 10.137.0.13/32 proto static dev vif13.0 src 10.137.0.12
inside two-vpns-before-tor:sys-vpn-outer ip route replace fd09:24ef:4179::a89:d/128 proto static dev vif13.0 src fd09:24ef:4179::a89:c
inside two-vpns-before-tor:sys-vpn-inner ip link set dev eth0 group 1 up
inside two-vpns-before-tor:sys-vpn-inner ip addr add 10.137.0.13/32 dev eth0
inside two-vpns-before-tor:sys-vpn-inner ip addr add fd09:24ef:4179::a89:d/128 dev eth0 nodad
inside two-vpns-before-tor:sys-vpn-inner ip neigh replace 10.137.0.12 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-vpn-inner ip neigh replace fd09:24ef:4179::a89:c lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-vpn-inner ip route replace 10.137.0.12/32 proto static dev eth0
inside two-vpns-before-tor:sys-vpn-inner ip route replace fd09:24ef:4179::a89:c/128 proto static dev eth0
inside two-vpns-before-tor:sys-vpn-inner ip route replace unreachable 0.0.0.0/0 proto static metric 4294967294
inside two-vpns-before-tor:sys-vpn-inner ip route replace unreachable ::/0 proto static metric 4294967294
inside two-vpns-before-tor:sys-vpn-inner ip route replace 198.19.8.1/32 proto static via 10.137.0.12 dev eth0 onlink
inside two-vpns-before-tor:sys-vpn-inner ip link set dev eth0 alias "sys-vpn-outer af0516fbe2e12d3d" up
# two-vpns-before-tor:sys-whonix: resolv.conf [], hosts {'sys-whonix': '10.137.0.14'}
inside two-vpns-before-tor:sys-vpn-inner ip link add vif14.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:sys-whonix)"
inside two-vpns-before-tor:sys-vpn-inner ip link set dev vif14.0 group 2 alias "sys-whonix" up
inside two-vpns-before-tor:sys-vpn-inner ip addr add 10.137.0.13/32 dev vif14.0
inside two-vpns-before-tor:sys-vpn-inner ip addr add fd09:24ef:4179::a89:d/128 dev vif14.0 nodad
inside two-vpns-before-tor:sys-vpn-inner ip neigh replace 10.137.0.14 lladdr 00:16:3e:5e:6c:00 dev vif14.0 nud permanent
inside two-vpns-before-tor:sys-vpn-inner ip neigh replace fd09:24ef:4179::a89:e lladdr 00:16:3e:5e:6c:00 dev vif14.0 nud permanent
inside two-vpns-before-tor:sys-vpn-inner ip route replace 10.137.0.14/32 proto static dev vif14.0 src 10.137.0.13
inside two-vpns-before-tor:sys-vpn-inner ip route replace fd09:24ef:4179::a89:e/128 proto static dev vif14.0 src fd09:24ef:4179::a89:d
inside two-vpns-before-tor:sys-whonix ip link set dev eth0 group 1 up
inside two-vpns-before-tor:sys-whonix ip addr add 10.137.0.14/32 dev eth0
inside two-vpns-before-tor:sys-whonix ip addr add fd09:24ef:4179::a89:e/128 dev eth0 nodad
inside two-vpns-before-tor:sys-whonix ip neigh replace 10.137.0.13 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-whonix ip neigh replace fd09:24ef:4179::a89:d lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:sys-whonix ip route replace 10.137.0.13/32 proto static dev eth0
inside two-vpns-before-tor:sys-whonix ip route replace fd09:24ef:4179::a89:d/128 proto static dev eth0
inside two-vpns-before-tor:sys-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.13 dev eth0 onlink
inside two-vpns-before-tor:sys-whonix ip route replace ::/0 proto static via fd09:24ef:4179::a89:d dev eth0 onlink
inside two-vpns-before-tor:sys-whonix ip link set dev eth0 alias "sys-vpn-inner 8209bc2f5378024c" up
# two-vpns-before-tor:anon-whonix: resolv.conf ['10.137.0.14'], hosts {'anon-whonix': '10.137.0.15'}
inside two-vpns-before-tor:sys-whonix ip link add vif15.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node two-vpns-before-tor:anon-whonix)"
inside two-vpns-before-tor:sys-whonix ip link set dev vif15.0 group 2 alias "anon-whonix" up
inside two-vpns-before-tor:sys-whonix ip addr add 10.137.0.14/32 dev vif15.0
inside two-vpns-before-tor:sys-whonix ip addr add fd09:24ef:4179::a89:e/128 dev vif15.0 nodad
inside two-vpns-before-tor:sys-whonix ip neigh replace 10.137.0.15 lladdr 00:16:3e:5e:6c:00 dev vif15.0 nud permanent
inside two-vpns-before-tor:sys-whonix ip neigh replace fd09:24ef:4179::a89:f lladdr 00:16:3e:5e:6c:00 dev vif15.0 nud permanent
inside two-vpns-before-tor:sys-whonix ip route replace 10.137.0.15/32 proto static dev vif15.0 src 10.137.0.14
inside two-vpns-before-tor:sys-whonix ip route replace fd09:24ef:4179::a89:f/128 proto static dev vif15.0 src fd09:24ef:4179::a89:e
inside two-vpns-before-tor:anon-whonix ip link set dev eth0 group 1 up
inside two-vpns-before-tor:anon-whonix ip addr add 10.137.0.15/32 dev eth0
inside two-vpns-before-tor:anon-whonix ip addr add fd09:24ef:4179::a89:f/128 dev eth0 nodad
inside two-vpns-before-tor:anon-whonix ip neigh replace 10.137.0.14 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:anon-whonix ip neigh replace fd09:24ef:4179::a89:e lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside two-vpns-before-tor:anon-whonix ip route replace 10.137.0.14/32 proto static dev eth0
inside two-vpns-before-tor:anon-whonix ip route replace fd09:24ef:4179::a89:e/128 proto static dev eth0
inside two-vpns-before-tor:anon-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.14 dev eth0 onlink
inside two-vpns-before-tor:anon-whonix ip link set dev eth0 alias "sys-whonix 442e46c6795deede" up
