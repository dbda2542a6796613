# create vpn-before-tor:sys-proxyvm: network, mount, PID, UTS and IPC namespaces
inside vpn-before-tor:sys-proxyvm sysctl -qw net/ipv4/ip_forward=1 net/ipv4/ip_no_pmtu_disc=3 net/ipv4/conf/all/rp_filter=1 net/ipv4/conf/all/accept_redirects=0 net/ipv4/conf/all/secure_redirects=0 net/ipv4/conf/all/send_redirects=0 net/ipv4/conf/all/accept_source_route=0 net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/all/arp_announce=2 net/ipv6/conf/all/accept_ra=0 net/ipv6/conf/all/accept_redirects=0 net/ipv6/conf/all/accept_source_route=-1 net/ipv6/conf/all/addr_gen_mode=1 net/ipv6/conf/all/autoconf=0 net/ipv6/conf/all/dad_transmits=0 net/ipv6/conf/all/router_solicitations=0 net/ipv6/conf/all/forwarding=1 net/ipv4/conf/default/rp_filter=1 net/ipv4/conf/default/accept_redirects=0 net/ipv4/conf/default/secure_redirects=0 net/ipv4/conf/default/send_redirects=0 net/ipv4/conf/default/accept_source_route=0 net/ipv4/conf/default/arp_ignore=1 net/ipv4/conf/default/arp_announce=2 net/ipv6/conf/default/accept_ra=0 net/ipv6/conf/default/accept_redirects=0 net/ipv6/conf/default/accept_source_route=-1 net/ipv6/conf/default/addr_gen_mode=1 net/ipv6/conf/default/autoconf=0 net/ipv6/conf/default/dad_transmits=0 net/ipv6/conf/default/router_solicitations=0 net/ipv6/conf/default/forwarding=1
inside vpn-before-tor:sys-proxyvm nft -f - # 47 lines, shown by -vv
# create vpn-before-tor:sys-whonix: network, mount, PID, UTS and IPC namespaces
inside vpn-before-tor:sys-whonix sysctl -qw net/ipv4/ip_forward=0 net/ipv4/ip_no_pmtu_disc=3 net/ipv4/conf/all/rp_filter=1 net/ipv4/conf/all/accept_redirects=0 net/ipv4/conf/all/secure_redirects=0 net/ipv4/conf/all/send_redirects=0 net/ipv4/conf/all/accept_source_route=0 net/ipv4/conf/all/arp_ignore=1 net/ipv4/conf/all/arp_announce=2 net/ipv6/conf/all/accept_ra=0 net/ipv6/conf/all/accept_redirects=0 net/ipv6/conf/all/accept_source_route=-1 net/ipv6/conf/all/addr_gen_mode=1 net/ipv6/conf/all/autoconf=0 net/ipv6/conf/all/dad_transmits=0 net/ipv6/conf/all/router_solicitations=0 net/ipv6/conf/all/forwarding=0 net/ipv4/conf/default/rp_filter=1 net/ipv4/conf/default/accept_redirects=0 net/ipv4/conf/default/secure_redirects=0 net/ipv4/conf/default/send_redirects=0 net/ipv4/conf/default/accept_source_route=0 net/ipv4/conf/default/arp_ignore=1 net/ipv4/conf/default/arp_announce=2 net/ipv6/conf/default/accept_ra=0 net/ipv6/conf/default/accept_redirects=0 net/ipv6/conf/default/accept_source_route=-1 net/ipv6/conf/default/addr_gen_mode=1 net/ipv6/conf/default/autoconf=0 net/ipv6/conf/default/dad_transmits=0 net/ipv6/conf/default/router_solicitations=0 net/ipv6/conf/default/forwarding=0
inside vpn-before-tor:sys-whonix nft -f - # 47 lines, shown by -vv
inside vpn-before-tor:sys-proxyvm nft -f - # 217 lines, shown by -vv
inside vpn-before-tor:sys-proxyvm nft -f - <<'EOF'
delete table inet netchain_blocked
EOF
inside vpn-before-tor:sys-proxyvm ip link add wg0 type wireguard # else a TUN
inside vpn-before-tor:sys-proxyvm ip link set dev wg0 group 3 mtu 1420 up
inside vpn-before-tor:sys-proxyvm ip addr add 10.64.0.2/32 dev wg0
inside vpn-before-tor:sys-proxyvm ip route replace 0.0.0.0/0 proto static dev wg0 metric 100
inside vpn-before-tor:sys-proxyvm ip addr add fd00:64::2/128 dev wg0 nodad
inside vpn-before-tor:sys-proxyvm ip route replace ::/0 proto static dev wg0 metric 100
# supervised, in all of vpn-before-tor:sys-proxyvm's namespaces: wireguard-go -f wg0
inside vpn-before-tor:sys-proxyvm wg setconf wg0 /dev/stdin # standard input: 232 bytes, not shown
# stop wireguard in vpn-before-tor:sys-proxyvm
inside vpn-before-tor:sys-proxyvm ip link del wg0
inside vpn-before-tor:sys-proxyvm nft -f - # 47 lines, shown by -vv
inside vpn-before-tor:sys-proxyvm ip link del eth0
kill -9 "$(node vpn-before-tor:sys-proxyvm)"
