# vpn-only:sys-net: resolv.conf [], hosts {'sys-net': '10.137.0.10'}
inside lab:isp ip link add isp0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node vpn-only:sys-net)"
inside lab:isp ip link set dev isp0 group 0 alias "vpn-only" up
inside lab:isp ip addr add 100.64.0.1/32 dev isp0
inside lab:isp ip neigh replace 100.64.0.2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 100.64.0.2/32 proto static dev isp0
inside lab:isp ip addr add 2001:db8:a::1/128 dev isp0 nodad
inside lab:isp ip neigh replace 2001:db8:a::2 lladdr 00:16:3e:5e:6c:00 dev isp0 nud permanent
inside lab:isp ip route replace 2001:db8:a::2/128 proto static dev isp0
inside vpn-only:sys-net ip link set dev eth0 group 1 up
inside vpn-only:sys-net ip addr add 100.64.0.2/32 dev eth0
inside vpn-only:sys-net ip neigh replace 100.64.0.1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-net ip route replace 100.64.0.1/32 proto static dev eth0
inside vpn-only:sys-net ip route replace 0.0.0.0/0 proto static via 100.64.0.1 dev eth0 onlink
inside vpn-only:sys-net ip addr add 2001:db8:a::2/128 dev eth0 nodad
inside vpn-only:sys-net ip neigh replace 2001:db8:a::1 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-net ip route replace 2001:db8:a::1/128 proto static dev eth0
inside vpn-only:sys-net ip route replace ::/0 proto static via 2001:db8:a::1 dev eth0 onlink
inside vpn-only:sys-net ip link set dev eth0 alias "uplink isp0 aa75b4e9230656eb" up
# vpn-only:sys-firewall: resolv.conf [], hosts {'sys-firewall': '10.137.0.11'}
inside vpn-only:sys-net ip link add vif11.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node vpn-only:sys-firewall)"
inside vpn-only:sys-net ip link set dev vif11.0 group 2 alias "sys-firewall" up
inside vpn-only:sys-net ip addr add 10.137.0.10/32 dev vif11.0
inside vpn-only:sys-net ip addr add fd09:24ef:4179::a89:a/128 dev vif11.0 nodad
inside vpn-only:sys-net ip neigh replace 10.137.0.11 lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside vpn-only:sys-net ip neigh replace fd09:24ef:4179::a89:b lladdr 00:16:3e:5e:6c:00 dev vif11.0 nud permanent
inside vpn-only:sys-net ip route replace 10.137.0.11/32 proto static dev vif11.0 src 10.137.0.10
inside vpn-only:sys-net ip route replace fd09:24ef:4179::a89:b/128 proto static dev vif11.0 src fd09:24ef:4179::a89:a
inside vpn-only:sys-net ip route replace 10.137.0.12/32 proto static via 10.137.0.11 dev vif11.0 onlink
inside vpn-only:sys-net ip route replace fd09:24ef:4179::a89:c/128 proto static via fd09:24ef:4179::a89:b dev vif11.0 onlink
inside vpn-only:sys-firewall ip link set dev eth0 group 1 up
inside vpn-only:sys-firewall ip addr add 10.137.0.11/32 dev eth0
inside vpn-only:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev eth0 nodad
inside vpn-only:sys-firewall ip neigh replace 10.137.0.10 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-firewall ip neigh replace fd09:24ef:4179::a89:a lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-firewall ip route replace 10.137.0.10/32 proto static dev eth0
inside vpn-only:sys-firewall ip route replace fd09:24ef:4179::a89:a/128 proto static dev eth0
inside vpn-only:sys-firewall ip route replace 0.0.0.0/0 proto static via 10.137.0.10 dev eth0 onlink
inside vpn-only:sys-firewall ip route replace ::/0 proto static via fd09:24ef:4179::a89:a dev eth0 onlink
inside vpn-only:sys-firewall ip link set dev eth0 alias "sys-net 1dba8dbd3079827c" up
# vpn-only:sys-proxyvm: resolv.conf [], hosts {'sys-proxyvm': '10.137.0.12'}
inside vpn-only:sys-firewall ip link add vif12.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node vpn-only:sys-proxyvm)"
inside vpn-only:sys-firewall ip link set dev vif12.0 group 2 alias "sys-proxyvm" up
inside vpn-only:sys-firewall ip addr add 10.137.0.11/32 dev vif12.0
inside vpn-only:sys-firewall ip addr add fd09:24ef:4179::a89:b/128 dev vif12.0 nodad
inside vpn-only:sys-firewall ip neigh replace 10.137.0.12 lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside vpn-only:sys-firewall ip neigh replace fd09:24ef:4179::a89:c lladdr 00:16:3e:5e:6c:00 dev vif12.0 nud permanent
inside vpn-only:sys-firewall ip route replace 10.137.0.12/32 proto static dev vif12.0 src 10.137.0.11
inside vpn-only:sys-firewall ip route replace fd09:24ef:4179::a89:c/128 proto static dev vif12.0 src fd09:24ef:4179::a89:b
inside vpn-only:sys-proxyvm ip link set dev eth0 group 1 up
inside vpn-only:sys-proxyvm ip addr add 10.137.0.12/32 dev eth0
inside vpn-only:sys-proxyvm ip addr add fd09:24ef:4179::a89:c/128 dev eth0 nodad
inside vpn-only:sys-proxyvm ip neigh replace 10.137.0.11 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-proxyvm ip neigh replace fd09:24ef:4179::a89:b lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:sys-proxyvm ip route replace 10.137.0.11/32 proto static dev eth0
inside vpn-only:sys-proxyvm ip route replace fd09:24ef:4179::a89:b/128 proto static dev eth0
inside vpn-only:sys-proxyvm ip route replace unreachable 0.0.0.0/0 proto static metric 4294967294
inside vpn-only:sys-proxyvm ip route replace unreachable ::/0 proto static metric 4294967294
inside vpn-only:sys-proxyvm ip route replace 198.18.7.1/32 proto static via 10.137.0.11 dev eth0 onlink
inside vpn-only:sys-proxyvm ip link set dev eth0 alias "sys-firewall 64d08ab3c889973b" up
# vpn-only:work: resolv.conf ['10.139.1.1', '10.139.1.2'], hosts {'work': '10.137.0.13'}
inside vpn-only:sys-proxyvm ip link add vif13.0 address fe:ff:ff:ff:ff:ff numtxqueues 1 numrxqueues 1 type veth peer eth0 address 00:16:3e:5e:6c:00 numtxqueues 1 numrxqueues 1 netns "$(node vpn-only:work)"
inside vpn-only:sys-proxyvm ip link set dev vif13.0 group 2 alias "work" up
inside vpn-only:sys-proxyvm ip addr add 10.137.0.12/32 dev vif13.0
inside vpn-only:sys-proxyvm ip addr add fd09:24ef:4179::a89:c/128 dev vif13.0 nodad
inside vpn-only:sys-proxyvm ip neigh replace 10.137.0.13 lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside vpn-only:sys-proxyvm ip neigh replace fd09:24ef:4179::a89:d lladdr 00:16:3e:5e:6c:00 dev vif13.0 nud permanent
inside vpn-only:sys-proxyvm ip route replace 10.137.0.13/32 proto static dev vif13.0 src 10.137.0.12
inside vpn-only:sys-proxyvm ip route replace fd09:24ef:4179::a89:d/128 proto static dev vif13.0 src fd09:24ef:4179::a89:c
inside vpn-only:work ip link set dev eth0 group 1 up
inside vpn-only:work ip addr add 10.137.0.13/32 dev eth0
inside vpn-only:work ip addr add fd09:24ef:4179::a89:d/128 dev eth0 nodad
inside vpn-only:work ip neigh replace 10.137.0.12 lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:work ip neigh replace fd09:24ef:4179::a89:c lladdr fe:ff:ff:ff:ff:ff dev eth0 nud permanent
inside vpn-only:work ip route replace 10.137.0.12/32 proto static dev eth0
inside vpn-only:work ip route replace fd09:24ef:4179::a89:c/128 proto static dev eth0
inside vpn-only:work ip route replace 0.0.0.0/0 proto static via 10.137.0.12 dev eth0 onlink
inside vpn-only:work ip route replace ::/0 proto static via fd09:24ef:4179::a89:c dev eth0 onlink
inside vpn-only:work ip link set dev eth0 alias "sys-proxyvm 68c635dcdfbb6fbc" up
