# many-workstations:sys-net: resolv.conf [], hosts {'sys-net': '10.137.0.10'}
inside lab:isp ip link add isp0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:sys-net)"
inside lab:isp ip link set dev isp0 group 0 alias "many-workstations" up
inside lab:isp ip addr add 100.64.0.1/32 dev isp0
inside lab:isp ip neigh replace 100.64.0.2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 100.64.0.2/32 proto static dev isp0
inside lab:isp ip addr add 2001:db8:a::1/128 dev isp0 nodad
inside lab:isp ip neigh replace 2001:db8:a::2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 2001:db8:a::2/128 proto static dev isp0
inside many-workstations:sys-net ip link set dev eth0 group 1 up
inside many-workstations:sys-net ip addr add 100.64.0.2/32 dev eth0
inside many-workstations:sys-net ip neigh replace 100.64.0.1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-net ip route replace 100.64.0.1/32 proto static dev eth0
inside many-workstations:sys-net ip route replace 0.0.0.0/0 proto static via 100.64.0.1 dev eth0 onlink
inside many-workstations:sys-net ip addr add 2001:db8:a::2/128 dev eth0 nodad
inside many-workstations:sys-net ip neigh replace 2001:db8:a::1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-net ip route replace 2001:db8:a::1/128 proto static dev eth0
inside many-workstations:sys-net ip route replace ::/0 proto static via 2001:db8:a::1 dev eth0 onlink
inside many-workstations:sys-net ip link set dev eth0 alias "uplink isp0 794b6cb61ad1706e" up
# many-workstations:sys-firewall: resolv.conf [], hosts {'sys-firewall': '10.137.0.11'}
inside many-workstations:sys-net ip link add vif11.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:sys-firewall)"
inside many-workstations:sys-net ip link set dev vif11.0 group 2 alias "sys-firewall" up
inside many-workstations:sys-net ip addr add 10.137.0.10/32 dev vif11.0
inside many-workstations:sys-net ip addr add fd09:24ef:4179::a89:a/128 dev vif11.0 nodad
inside many-workstations:sys-net ip neigh replace 10.137.0.11 lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside many-workstations:sys-net ip neigh replace fd09:24ef:4179::a89:b lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside many-workstations:sys-net ip route replace 10.137.0.11/32 proto static dev vif11.0 src 10.137.0.10
inside many-workstations:sys-net ip route replace fd09:24ef:4179::a89:b/128 proto static dev vif11.0 src fd09:24ef:4179::a89:a
inside many-workstations:sys-net ip route replace 10.137.0.12/32 proto static via 10.137.0.11 dev vif11.0 onlink
inside many-workstations:sys-net ip route replace fd09:24ef:4179::a89:c/128 proto static via fd09:24ef:4179::a89:b dev vif11.0 onlink
inside many-workstations:sys-firewall ip link set dev eth0 group 1 up
inside many-workstations:sys-firewall ip addr add 10.137.0.11/32 dev eth0
inside many-workstations:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev eth0 nodad
inside many-workstations:sys-firewall ip neigh replace 10.137.0.10 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-firewall ip neigh replace fd09:24ef:4179::a89:a lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-firewall ip route replace 10.137.0.10/32 proto static dev eth0
inside many-workstations:sys-firewall ip route replace fd09:24ef:4179::a89:a/128 proto static dev eth0
inside many-workstations:sys-firewall ip route replace 0.0.0.0/0 proto static via 10.137.0.10 dev eth0 onlink
inside many-workstations:sys-firewall ip route replace ::/0 proto static via fd09:24ef:4179::a89:a dev eth0 onlink
inside many-workstations:sys-firewall ip link set dev eth0 alias "sys-net 1dba8dbd3079827c" up
# many-workstations:sys-proxyvm: resolv.conf [], hosts {'sys-proxyvm': '10.137.0.12'}
inside many-workstations:sys-firewall ip link add vif12.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:sys-proxyvm)"
inside many-workstations:sys-firewall ip link set dev vif12.0 group 2 alias "sys-proxyvm" up
inside many-workstations:sys-firewall ip addr add 10.137.0.11/32 dev vif12.0
inside many-workstations:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev vif12.0 nodad
inside many-workstations:sys-firewall ip neigh replace 10.137.0.12 lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside many-workstations:sys-firewall ip neigh replace fd09:24ef:4179::a89:c lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside many-workstations:sys-firewall ip route replace 10.137.0.12/32 proto static dev vif12.0 src 10.137.0.11
inside many-workstations:sys-firewall ip route replace fd09:24ef:4179::a89:c/128 proto static dev vif12.0 src fd09:24ef:4179::a89:b
inside many-workstations:sys-proxyvm ip link set dev eth0 group 1 up
inside many-workstations:sys-proxyvm ip addr add 10.137.0.12/32 dev eth0
inside many-workstations:sys-proxyvm ip addr add fd09:24ef:4179::a89:c/128 dev eth0 nodad
inside many-workstations:sys-proxyvm ip neigh replace 10.137.0.11 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-proxyvm ip neigh replace fd09:24ef:4179::a89:b lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-proxyvm ip route replace 10.137.0.11/32 proto static dev eth0
inside many-workstations:sys-proxyvm ip route replace fd09:24ef:4179::a89:b/128 proto static dev eth0
inside many-workstations:sys-proxyvm ip route replace unreachable 0.0.0.0/0 proto static metric 4294967294
inside many-workstations:sys-proxyvm ip route replace unreachable ::/0 proto static metric 4294967294
inside many-workstations:sys-proxyvm ip route replace 198.18.7.1/32 proto static via 10.137.0.11 dev eth0 onlink
inside many-workstations:sys-proxyvm ip link set dev eth0 alias "sys-firewall 64d08ab3c889973b" up
# many-workstations:sys-whonix: resolv.conf [], hosts {'sys-whonix': '10.137.0.13'}
inside many-workstations:sys-proxyvm ip link add vif13.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:sys-whonix)"
inside many-workstations:sys-proxyvm ip link set dev vif13.0 group 2 alias "sys-whonix" up
inside many-workstations:sys-proxyvm ip addr add 10.137.0.12/32 dev vif13.0
inside many-workstations:sys-proxyvm ip addr add fd09:24ef:4179::a89:c/128 dev vif13.0 nodad
inside many-workstations:sys-proxyvm ip neigh replace 10.137.0.13 lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside many-workstations:sys-proxyvm ip neigh replace fd09:24ef:4179::a89:d lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside many-workstations:sys-proxyvm ip route replace 10.137.0.13/32 proto static dev vif13.0 src 10.137.0.12
inside many-workstations:sys-proxyvm ip route replace fd09:24ef:4179::a89:d/128 proto static dev vif13.0 src fd09:24ef:4179::a89:c
inside many-workstations:sys-whonix ip link set dev eth0 group 1 up
inside many-workstations:sys-whonix ip addr add 10.137.0.13/32 dev eth0
inside many-workstations:sys-whonix ip addr add fd09:24ef:4179::a89:d/128 dev eth0 nodad
inside many-workstations:sys-whonix ip neigh replace 10.137.0.12 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-whonix ip neigh replace fd09:24ef:4179::a89:c lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:sys-whonix ip route replace 10.137.0.12/32 proto static dev eth0
inside many-workstations:sys-whonix ip route replace fd09:24ef:4179::a89:c/128 proto static dev eth0
inside many-workstations:sys-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.12 dev eth0 onlink
inside many-workstations:sys-whonix ip route replace ::/0 proto static via fd09:24ef:4179::a89:c dev eth0 onlink
inside many-workstations:sys-whonix ip link set dev eth0 alias "sys-proxyvm 65dd06c15c888fe4" up
# many-workstations:anon-whonix: resolv.conf ['10.137.0.13'], hosts {'anon-whonix': '10.137.0.14'}
inside many-workstations:sys-whonix ip link add vif14.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:anon-whonix)"
inside many-workstations:sys-whonix ip link set dev vif14.0 group 2 alias "anon-whonix" up
inside many-workstations:sys-whonix ip addr add 10.137.0.13/32 dev vif14.0
inside many-workstations:sys-whonix ip addr add fd09:24ef:4179::a89:d/128 dev vif14.0 nodad
inside many-workstations:sys-whonix ip neigh replace 10.137.0.14 lladdr 00:16:3e:5e:6c:00 dev vif14.0 nud permanent
inside many-workstations:sys-whonix ip neigh replace fd09:24ef:4179::a89:e lladdr 00:16:3e:5e:6c:00 dev vif14.0 nud permanent
inside many-workstations:sys-whonix ip route replace 10.137.0.14/32 proto static dev vif14.0 src 10.137.0.13
inside many-workstations:sys-whonix ip route replace fd09:24ef:4179::a89:e/128 proto static dev vif14.0 src fd09:24ef:4179::a89:d
inside many-workstations:anon-whonix ip link set dev eth0 group 1 up
inside many-workstations:anon-whonix ip addr add 10.137.0.14/32 dev eth0
inside many-workstations:anon-whonix ip addr add fd09:24ef:4179::a89:e/128 dev eth0 nodad
inside many-workstations:anon-whonix ip neigh replace 10.137.0.13 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-whonix ip neigh replace fd09:24ef:4179::a89:d lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-whonix ip route replace 10.137.0.13/32 proto static dev eth0
inside many-workstations:anon-whonix ip route replace fd09:24ef:4179::a89:d/128 proto static dev eth0
inside many-workstations:anon-whonix ip route replace 0.0.0.0/0 proto static via 10.137.0.13 dev eth0 onlink
inside many-workstations:anon-whonix ip link set dev eth0 alias "sys-whonix 25a0331619105415" up
# many-workstations:anon-mail: resolv.conf ['10.137.0.13'], hosts {'anon-mail': '10.137.0.15'}
inside many-workstations:sys-whonix ip link add vif15.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:anon-mail)"
inside many-workstations:sys-whonix ip link set dev vif15.0 group 2 alias "anon-mail" up
inside many-workstations:sys-whonix ip addr add 10.137.0.13/32 dev vif15.0
inside many-workstations:sys-whonix ip addr add fd09:24ef:4179::a89:d/128 dev vif15.0 nodad
inside many-workstations:sys-whonix ip neigh replace 10.137.0.15 lladdr 00:16:3e:5e:6c:00 dev vif15.0 nud permanent
inside many-workstations:sys-whonix ip neigh replace fd09:24ef:4179::a89:f lladdr 00:16:3e:5e:6c:00 dev vif15.0 nud permanent
inside many-workstations:sys-whonix ip route replace 10.137.0.15/32 proto static dev vif15.0 src 10.137.0.13
inside many-workstations:sys-whonix ip route replace fd09:24ef:4179::a89:f/128 proto static dev vif15.0 src fd09:24ef:4179::a89:d
inside many-workstations:anon-mail ip link set dev eth0 group 1 up
inside many-workstations:anon-mail ip addr add 10.137.0.15/32 dev eth0
inside many-workstations:anon-mail ip addr add fd09:24ef:4179::a89:f/128 dev eth0 nodad
inside many-workstations:anon-mail ip neigh replace 10.137.0.13 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-mail ip neigh replace fd09:24ef:4179::a89:d lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-mail ip route replace 10.137.0.13/32 proto static dev eth0
inside many-workstations:anon-mail ip route replace fd09:24ef:4179::a89:d/128 proto static dev eth0
inside many-workstations:anon-mail ip route replace 0.0.0.0/0 proto static via 10.137.0.13 dev eth0 onlink
inside many-workstations:anon-mail ip link set dev eth0 alias "sys-whonix 022220db58ca54c9" up
# many-workstations:anon-chat: resolv.conf ['10.137.0.13'], hosts {'anon-chat': '10.137.0.16'}
inside many-workstations:sys-whonix ip link add vif16.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node many-workstations:anon-chat)"
inside many-workstations:sys-whonix ip link set dev vif16.0 group 2 alias "anon-chat" up
inside many-workstations:sys-whonix ip addr add 10.137.0.13/32 dev vif16.0
inside many-workstations:sys-whonix ip addr add fd09:24ef:4179::a89:d/128 dev vif16.0 nodad
inside many-workstations:sys-whonix ip neigh replace 10.137.0.16 lladdr 00:16:3e:5e:6c:00 dev vif16.0 nud permanent
inside many-workstations:sys-whonix ip neigh replace fd09:24ef:4179::a89:10 lladdr 00:16:3e:5e:6c:00 dev vif16.0 nud permanent
inside many-workstations:sys-whonix ip route replace 10.137.0.16/32 proto static dev vif16.0 src 10.137.0.13
inside many-workstations:sys-whonix ip route replace fd09:24ef:4179::a89:10/128 proto static dev vif16.0 src fd09:24ef:4179::a89:d
inside many-workstations:anon-chat ip link set dev eth0 group 1 up
inside many-workstations:anon-chat ip addr add 10.137.0.16/32 dev eth0
inside many-workstations:anon-chat ip addr add fd09:24ef:4179::a89:10/128 dev eth0 nodad
inside many-workstations:anon-chat ip neigh replace 10.137.0.13 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-chat ip neigh replace fd09:24ef:4179::a89:d lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside many-workstations:anon-chat ip route replace 10.137.0.13/32 proto static dev eth0
inside many-workstations:anon-chat ip route replace fd09:24ef:4179::a89:d/128 proto static dev eth0
inside many-workstations:anon-chat ip route replace 0.0.0.0/0 proto static via 10.137.0.13 dev eth0 onlink
inside many-workstations:anon-chat ip link set dev eth0 alias "sys-whonix 259d0787aa9195c8" up
