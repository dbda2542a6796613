# tor-only:sys-net: resolv.conf [], hosts {'sys-net': '10.137.0.10'}
inside lab:isp ip link add isp0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node tor-only:sys-net)"
inside lab:isp ip link set dev isp0 group 0 alias "tor-only" up
inside lab:isp ip addr add 100.64.0.1/32 dev isp0
inside lab:isp ip neigh replace 100.64.0.2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 100.64.0.2/32 proto static dev isp0
inside lab:isp ip addr add 2001:db8:a::1/128 dev isp0 nodad
inside lab:isp ip neigh replace 2001:db8:a::2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 2001:db8:a::2/128 proto static dev isp0
inside tor-only:sys-net ip link set dev eth0 group 1 up
inside tor-only:sys-net ip addr add 100.64.0.2/32 dev eth0
inside tor-only:sys-net ip neigh replace 100.64.0.1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-net ip route replace 100.64.0.1/32 proto static dev eth0
inside tor-only:sys-net ip route replace 0.0.0.0/0 proto static via 100.64.0.1 dev eth0 onlink
inside tor-only:sys-net ip addr add 2001:db8:a::2/128 dev eth0 nodad
inside tor-only:sys-net ip neigh replace 2001:db8:a::1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-net ip route replace 2001:db8:a::1/128 proto static dev eth0
inside tor-only:sys-net ip route replace ::/0 proto static via 2001:db8:a::1 dev eth0 onlink
inside tor-only:sys-net ip link set dev eth0 alias "uplink isp0 d78cd558251e4831" up
# tor-only:sys-firewall: resolv.conf [], hosts {'sys-firewall': '10.137.0.11'}
inside tor-only:sys-net ip link add vif11.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node tor-only:sys-firewall)"
inside tor-only:sys-net ip link set dev vif11.0 group 2 alias "sys-firewall" up
inside tor-only:sys-net ip addr add 10.137.0.10/32 dev vif11.0
inside tor-only:sys-net ip addr add fd09:24ef:4179::a89:a/128 dev vif11.0 nodad
inside tor-only:sys-net ip neigh replace 10.137.0.11 lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside tor-only:sys-net ip neigh replace fd09:24ef:4179::a89:b lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside tor-only:sys-net ip route replace 10.137.0.11/32 proto static dev vif11.0 src 10.137.0.10
inside tor-only:sys-net ip route replace fd09:24ef:4179::a89:b/128 proto static dev vif11.0 src fd09:24ef:4179::a89:a
inside tor-only:sys-net ip route replace 10.137.0.12/32 proto static via 10.137.0.11 dev vif11.0 onlink
inside tor-only:sys-net ip route replace fd09:24ef:4179::a89:c/128 proto static via fd09:24ef:4179::a89:b dev vif11.0 onlink
inside tor-only:sys-firewall ip link set dev eth0 group 1 up
inside tor-only:sys-firewall ip addr add 10.137.0.11/32 dev eth0
inside tor-only:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev eth0 nodad
inside tor-only:sys-firewall ip neigh replace 10.137.0.10 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-firewall ip neigh replace fd09:24ef:4179::a89:a lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-firewall ip route replace 10.137.0.10/32 proto static dev eth0
inside tor-only:sys-firewall ip route replace fd09:24ef:4179::a89:a/128 proto static dev eth0
inside tor-only:sys-firewall ip route replace 0.0.0.0/0 proto static via 10.137.0.10 dev eth0 onlink
inside tor-only:sys-firewall ip route replace ::/0 proto static via fd09:24ef:4179::a89:a dev eth0 onlink
inside tor-only:sys-firewall ip link set dev eth0 alias "sys-net 1dba8dbd3079827c" up
# tor-only:sys-whonix: resolv.conf [], hosts {'sys-whonix': '10.137.0.12'}
inside tor-only:sys-firewall ip link add vif12.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node tor-only:sys-whonix)"
inside tor-only:sys-firewall ip link set dev vif12.0 group 2 alias "sys-whonix" up
inside tor-only:sys-firewall ip addr add 10.137.0.11/32 dev vif12.0
inside tor-only:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev vif12.0 nodad
inside tor-only:sys-firewall ip neigh replace 10.137.0.12 lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside tor-only:sys-firewall ip neigh replace fd09:24ef:4179::a89:c lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside tor-only:sys-firewall ip route replace 10.137.0.12/32 proto static dev vif12.0 src 10.137.0.11
inside tor-only:sys-firewall ip route replace fd09:24ef:4179::a89:c/128 proto static dev vif12.0 src fd09:24ef:4179::a89:b
inside tor-only:sys-whonix ip link set dev eth0 group 1 up
inside tor-only:sys-whonix ip addr add 10.137.0.12/32 dev eth0
inside tor-only:sys-whonix ip addr add fd09:24ef:4179::a89:c/128 dev eth0 nodad
inside tor-only:sys-whonix ip neigh replace 10.137.0.11 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-whonix ip neigh replace fd09:24ef:4179::a89:b lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:sys-whonix ip route replace 10.137.0.11/32 proto static dev eth0
inside tor-only:sys-whonix ip route replace fd09:24ef:4179::a89:b/128 proto static dev eth0
inside tor-only:sys-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.11 dev eth0 onlink
inside tor-only:sys-whonix ip route replace ::/0 proto static via fd09:24ef:4179::a89:b dev eth0 onlink
inside tor-only:sys-whonix ip link set dev eth0 alias "sys-firewall dcb683dd94eec406" up
# tor-only:anon-whonix: resolv.conf ['10.137.0.12'], hosts {'anon-whonix': '10.137.0.13'}
inside tor-only:sys-whonix ip link add vif13.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node tor-only:anon-whonix)"
inside tor-only:sys-whonix ip link set dev vif13.0 group 2 alias "anon-whonix" up
inside tor-only:sys-whonix ip addr add 10.137.0.12/32 dev vif13.0
inside tor-only:sys-whonix ip addr add fd09:24ef:4179::a89:c/128 dev vif13.0 nodad
inside tor-only:sys-whonix ip neigh replace 10.137.0.13 lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside tor-only:sys-whonix ip neigh replace fd09:24ef:4179::a89:d lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside tor-only:sys-whonix ip route replace 10.137.0.13/32 proto static dev vif13.0 src 10.137.0.12
inside tor-only:sys-whonix ip route replace fd09:24ef:4179::a89:d/128 proto static dev vif13.0 src fd09:24ef:4179::a89:c
inside tor-only:anon-whonix ip link set dev eth0 group 1 up
inside tor-only:anon-whonix ip addr add 10.137.0.13/32 dev eth0
inside tor-only:anon-whonix ip addr add fd09:24ef:4179::a89:d/128 dev eth0 nodad
inside tor-only:anon-whonix ip neigh replace 10.137.0.12 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:anon-whonix ip neigh replace fd09:24ef:4179::a89:c lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside tor-only:anon-whonix ip route replace 10.137.0.12/32 proto static dev eth0
inside tor-only:anon-whonix ip route replace fd09:24ef:4179::a89:c/128 proto static dev eth0
inside tor-only:anon-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.12 dev eth0 onlink
inside tor-only:anon-whonix ip link set dev eth0 alias "sys-whonix 7b58a8e8e0b793fa" up
